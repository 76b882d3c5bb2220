"""Tell by its content what a source is, and read its memory map.

Most sources are kernel logs: readers of other things, and the libraries that these
need (construct, msgspec), are imported where such a source is met.
"""

from __future__ import annotations

import io
import re
import sys
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from e820pool.errors import BadImageError, InputError
from e820pool.findings import counted
from e820pool.memory_map import MemoryMap
from e820pool.sources.dmesg import has_broken_map, looks_like_dmesg, read_dmesg
from e820pool.sources.files import (
    INPUT_LIMIT,
    is_directory,
    is_longer,
    opened,
    read_file,
    read_stream,
)
from e820pool.sources.firmware_memmap import looks_like_memmap_text, read_memmap_text
from e820pool.sources.foreign import name_of_foreign
from e820pool.sources.log_text import (
    Piece,
    clean_lines,
    decode_text,
    encoding_of,
    messages_of_json,
)
from e820pool.sources.log_windows import ANCHORS, chunks_of, log_windows
from e820pool.sources.oddities import note, oddities
from e820pool.sources.packed import name_of_archive, unpacked
from e820pool.sources.printed import printed_lists, pseudo_physical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from e820pool.findings import Finding
    from e820pool.sources.printed_map import PrintedMap

__all__ = ("read_live", "read_map")

_ZERO_PAGE_BYTES = 4096
# Where a running kernel shows its map, the best first: /sys/firmware/memmap is the
# firmware's own (or kexec's) map, which mem= and memmap= have not changed;
# /proc/iomem shows what became of it.
_LIVE = ("/sys/firmware/memmap", "/sys/kernel/boot_params", "/proc/iomem")
_ROOT = Path("/")

# Of a longer text only what is around a map is looked at.
_SHORT_BYTES = 4 << 20
_OBJECT = re.compile(r'\s*\{\s*["}]')
# So much tells a log from something else.
_PROBE_BYTES = 1 << 16


class _Choice(NamedTuple):
    # Which of the maps of a kernel log.
    block: str | None = None
    boot: int | None = None


_ANY = _Choice()


def read_map(
    source: str | Path,
    *,
    block: str | None = None,
    boot: int | None = None,
    stdin: IO[bytes] | None = None,
) -> MemoryMap:
    """Return the memory map of a source, with notes of what is cut or odd in it.

    Args:
        source: a file or a directory; as text also ``-`` for standard input, or
            ``live`` for this machine (``./live`` is a file of that name).
        block: which map of a kernel log: ``bios``, ``extended``, ``setup_data``,
            ``user`` or ``modified``; None for the BIOS map, or, with a note, the
            first that the log has. Other sources have only one map.
        boot: which of several boots of a kernel log, from 1; None for the last whole
            one that is no capture kernel's.
        stdin: what ``-`` reads; the process's standard input if None.

    Raises:
        InputError: the source cannot be read, or has no such ``block`` or ``boot``.
        BadImageError: its content is no memory map.
    """
    choice = _Choice(block, boot)
    if source == "live":
        return _judged(read_live())
    if source != "-":
        return _judged(_map_of_path(Path(source), choice))
    stream, name = stdin or sys.stdin.buffer, "standard input"
    head = stream.read(INPUT_LIMIT + 1)
    if len(head) > INPUT_LIMIT:
        return _judged(_map_of_large_log(stream, head, choice, name))
    return _judged(_map_of_bytes(read_stream(io.BytesIO(head), name), choice, name))


def read_live(root: Path = _ROOT) -> MemoryMap:
    """Return this machine's map, from the first place that shows it.

    Where memory can be added is read beside it.

    Args:
        root: where /proc and /sys are; another folder is a copy of a machine's.

    Raises:
        InputError: none does.
    """
    from e820pool.sources.live_devices import read_live_devices  # noqa: PLC0415

    refusals = []
    for name in _LIVE:
        try:
            memory_map = _map_of_path(root / name.lstrip("/"))
        except (InputError, BadImageError) as exc:
            refusals.append(str(exc))
        else:
            return replace(memory_map, devices=read_live_devices(root))
    raise InputError(f"this machine shows no map: {'; '.join(refusals)}")


def _map_of_path(path: Path, choice: _Choice = _ANY) -> MemoryMap:
    if is_directory(path):
        return _map_of_directory(path)
    if is_longer(path, INPUT_LIMIT):
        with opened(path) as stream:
            return _map_of_large_log(stream, b"", choice, str(path))
    beside = path.parent / "setup_data"
    return _map_of_bytes(read_file(path), choice, str(path), beside)


def _map_of_directory(path: Path) -> MemoryMap:
    from e820pool.sources.firmware_memmap import (  # noqa: PLC0415
        is_memmap_tree,
        read_memmap_tree,
    )
    from e820pool.sources.handoff_dir import (  # noqa: PLC0415
        is_handoff_dir,
        read_handoff,
    )

    origin = str(path)
    if is_memmap_tree(path):
        return read_memmap_tree(path, origin=origin)
    if is_handoff_dir(path):
        handoff = read_handoff(path)
        return MemoryMap(
            entries=handoff.table.entries,
            origin=f"{origin} (handoff)",
            devices=handoff.memory_devices,
        )
    if (path / "data").is_file():
        return _map_of_path(path / "data")
    raise BadImageError(
        f"{origin!r} is a directory of another shape: want a handoff directory, "
        "/sys/firmware/memmap (0/start ...) or /sys/kernel/boot_params (data)"
    )


# Beside a zero page of sysfs are its nodes.
def _map_of_bytes(
    data: bytes, choice: _Choice, origin: str, beside: Path | None = None
) -> MemoryMap:
    if beside is not None and _is_zero_page(data):
        return _map_of_page(data, origin, beside)
    data, packed = unpacked(data, origin)
    origin = f"{origin} ({packed})" if packed else origin
    if _is_zero_page(data):
        return _map_of_page(data, origin)
    archive = name_of_archive(data)
    if archive:
        raise BadImageError(f"{origin!r} is {archive}")
    text, size = decode_text(data, origin), len(data)
    # A long one is not held twice.
    del data
    memory_map = _map_of_long_json(text, origin) if size > _SHORT_BYTES else None
    if memory_map is not None:
        return memory_map
    messages = messages_of_json(text)
    if not messages and _is_our_json(text):
        from e820pool.sources.map_json import read_map_json  # noqa: PLC0415

        return read_map_json(text, origin=origin)
    if not messages and size > _SHORT_BYTES:
        return _map_of_long_text(_windows_of(text), text, choice, origin, size)
    return _map_of_text(messages or [Piece(1, text)], choice, origin, size)


def _map_of_page(data: bytes, origin: str, beside: Path | None = None) -> MemoryMap:
    from e820pool.abi.setup_data import SETUP_E820_EXT  # noqa: PLC0415
    from e820pool.sources.boot_params_file import (  # noqa: PLC0415
        map_of_boot_params,
        read_sysfs_nodes,
    )

    ext = None
    if beside and beside.is_dir():
        nodes = read_sysfs_nodes(beside)
        ext = [payload for kind, payload in nodes if kind == SETUP_E820_EXT]
    return map_of_boot_params(data, ext=ext, origin=origin)


def _map_of_long_json(text: str, origin: str) -> MemoryMap | None:
    from e820pool.sources.map_json import read_long_map_json  # noqa: PLC0415

    return read_long_map_json(text, origin=origin)


# An object, and no log that begins with a brace, such as a page of a wiki.
def _is_our_json(text: str) -> bool:
    if not _OBJECT.match(text):
        return False
    return "entries" in text or "schema" in text or not looks_like_dmesg(text)


# A log that is too long to be held: what names no map is passed over.
def _map_of_large_log(
    stream: IO[bytes], head: bytes, choice: _Choice, origin: str
) -> MemoryMap:
    head = head or stream.read(_PROBE_BYTES)
    probe = head[:_PROBE_BYTES]
    is_binary = b"\0" in probe and encoding_of(probe) == "utf-8-sig"
    if is_binary or b"\n" not in probe:
        raise BadImageError(
            f"{origin!r} is longer than the limit of {INPUT_LIMIT:#x} bytes and no "
            f"kernel log: the first {len(probe):#x} bytes are no lines of text"
        )
    windows = log_windows(chunks_of(stream, head))
    pieces, held = [], 0
    for piece in windows:
        pieces.append(piece)
        held += len(piece.text)
        if held > _SHORT_BYTES:
            # A journal of very many boots: nothing else is looked for.
            block, boot = choice
            log = chain(pieces, windows)
            return read_dmesg(log, block=block, boot=boot, origin=origin)
    try:
        return _map_of_text(pieces, choice, origin, held)
    except BadImageError as exc:
        raise BadImageError(
            f"{origin!r} is longer than {INPUT_LIMIT:#x} bytes, so that only what is "
            f"near to the word e820 was looked at, and no map is there: give the part "
            f"that has it: {exc}"
        ) from exc


# Of a long text what names a map; all of it only if that is none.
def _map_of_long_text(
    pieces: list[Piece], text: str, choice: _Choice, origin: str, size: int
) -> MemoryMap:
    if pieces:
        with suppress(BadImageError):
            return _map_of_text(pieces, choice, origin, size)
    return _map_of_text([Piece(1, text)], choice, origin, size)


# The parts of a long text that name a map, [] where that is most of it or nothing.
def _windows_of(text: str) -> list[Piece]:
    at = 0

    def chunks() -> Iterator[bytes]:
        nonlocal at
        while at < len(text):
            yield text[at : at + _PROBE_BYTES].encode()
            at += _PROBE_BYTES

    pieces, held = [], 0
    for piece in log_windows(chunks(), ANCHORS):
        pieces.append(piece)
        held += len(piece.text)
        # Most of what was read so far: it would be held twice.
        if held > max(at, _SHORT_BYTES) // 2:
            return []
    return pieces


# Text in UTF-16 has NULs as well.
def _is_zero_page(data: bytes) -> bool:
    is_text = encoding_of(data) != "utf-8-sig"
    return len(data) == _ZERO_PAGE_BYTES and b"\0" in data and not is_text


def _map_of_text(
    pieces: list[Piece],
    choice: _Choice,
    origin: str,
    size: int,
    *,
    is_clean: bool = False,
    foreign: str = "",
) -> MemoryMap:
    block, boot = choice
    text = "".join(piece.text for piece in pieces)
    lists = printed_lists(text, pieces)
    if looks_like_dmesg(text) and (choice != _ANY or not lists.is_machine):
        bios = read_dmesg(pieces, block=block, boot=boot, origin=origin)
        domain = [pseudo_physical(len(bios))] if _is_domain_map(bios) else []
        notes = (*domain, *bios.notes, *lists.named(all_of_them=True))
        return replace(bios, notes=notes)
    if lists.chosen is not None:
        printed = lists.read(origin)
        notes = (*_kernel_beside(text, lists.chosen), *printed.notes)
        return replace(printed, notes=notes)
    if block is not None:
        raise InputError(f"{origin!r} has no {block} map: it is no kernel log")
    if boot is not None:
        raise InputError(f"{origin!r} has no boot {boot}: it is no kernel log")
    for looks_so, read in _texts():
        if looks_so(text):
            return read(pieces, origin)
    if has_broken_map(pieces):
        return read_dmesg(pieces, origin=origin)
    foreign = foreign or name_of_foreign(text)
    if not is_clean:
        # What transports did to it may hide even what it is.
        clean = [Piece(line.number, f"{line.text}\n") for line in clean_lines(pieces)]
        return _map_of_text(clean, choice, origin, size, is_clean=True, foreign=foreign)
    foreign = foreign or "no line of a form that `show --help` lists"
    raise BadImageError(
        f"{origin!r}: {size:#x} bytes of text without a memory map: {foreign}"
    )


# How a text is told that is no log, and how it is read.
def _texts() -> Iterator[
    tuple[Callable[[str], bool], Callable[[Sequence[Piece], str], MemoryMap]]
]:
    from e820pool.sources.hexdump import (  # noqa: PLC0415
        bytes_of_hexdump,
        looks_like_hexdump,
    )
    from e820pool.sources.iomem import looks_like_iomem, read_iomem  # noqa: PLC0415

    def read_dump(pieces: Sequence[Piece], origin: str) -> MemoryMap:
        page = bytes_of_hexdump("".join(piece.text for piece in pieces), origin)
        return _map_of_page(page, f"{origin} (hexdump)")

    yield (
        looks_like_memmap_text,
        lambda text, origin: read_memmap_text(text, origin=origin),
    )
    yield looks_like_iomem, lambda text, origin: read_iomem(text, origin=origin)
    yield looks_like_hexdump, read_dump


# A kernel that calls its map "Xen" runs in a PV domain.
def _is_domain_map(memory_map: MemoryMap) -> bool:
    return memory_map.origin.endswith(", Xen)")


# What a kernel printed under a hypervisor whose own map was read.
def _kernel_beside(text: str, machine: PrintedMap) -> Iterator[Finding]:
    if not (machine.form.is_machine and looks_like_dmesg(text)):
        return
    try:
        memory_map = read_dmesg(text)
    except BadImageError:
        return
    if _is_domain_map(memory_map):
        yield pseudo_physical(len(memory_map), machine)
    else:
        message = (
            "the text also has the BIOS map of a kernel "
            f"({counted(len(memory_map), 'entry')}): not "
            f"read, --block bios reads it; read was {machine}"
        )
        yield note("other-maps", message)


def _judged(memory_map: MemoryMap) -> MemoryMap:
    table = memory_map.entries
    ends = table["addr"] + table["size"]
    for at in np.flatnonzero((ends < table["addr"]) & (ends != 0))[:1].tolist():
        addr, size, _ = table[at].tolist()
        raise BadImageError(
            f"{memory_map.origin}: entry {at} at {addr:#x} with size {size:#x} wraps: "
            f"the limit of an entry's end is {1 << 64:#x}"
        )
    notes = dict.fromkeys((*memory_map.notes, *oddities(table)))
    return replace(memory_map, notes=tuple(notes))
