"""Read a handoff back: from a directory, a lone zero page, or this machine."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    BootParams,
    parse_boot_params,
    validate_e820_count,
)
from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.abi.setup_data import (
    NODE_HEADER_BYTES,
    SetupDataNode,
    encode_node,
    parse_chain,
    parse_node,
)
from e820pool.errors import BadImageError
from e820pool.findings import LISTED, Finding, counted
from e820pool.handoff.model import COMMAND_LINE_SIZE, Handoff, PlacedNode
from e820pool.sources.boot_params_file import read_sysfs_nodes
from e820pool.sources.files import is_directory, list_names, read_file, read_inside
from e820pool.sources.firmware_memmap import read_memmap_tree
from e820pool.sources.manifest import Manifest, SegmentDocument, parse_manifest
from e820pool.sources.map_json import read_map_json
from e820pool.type_words import resource_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.memory_map import MemoryMap


__all__ = (
    "MANIFEST",
    "is_handoff_dir",
    "read_handoff",
    "read_line",
    "validate_listed",
)

MANIFEST = "manifest.json"  #: What a handoff directory has.
_PAGE = "boot_params.bin"
_LINE = "cmdline.txt"
_FIRMWARE = "firmware.json"
_PROC_LINE = Path("/proc/cmdline")
_SYSFS = Path("/sys/kernel/boot_params")


def is_handoff_dir(path: Path) -> bool:
    """Return whether a directory has a manifest or a zero page by its name."""
    return any(os.path.lexists(path / name) for name in (MANIFEST, _PAGE))


def read_handoff(source: str | Path) -> Handoff:
    """Return the handoff of a source.

    A handoff directory is read with its manifest. Without one, addresses come from
    the zero page's pointers and the chain's, and where the zero page itself lies
    is not known (``boot_params_addr`` 0). ``live`` is this machine's zero page with
    its setup_data, command line and memory devices, and a directory shaped as
    /sys/kernel/boot_params the same without the last two: those do not show where the
    nodes after the first lie, which are taken to follow it. A file is a lone zero
    page without setup_data.

    Raises:
        InputError: the source cannot be read.
        BadImageError: parts are missing, of a wrong size, or contradict each other.
            (A memmap tree that differs is a note: no kernel reads it.)
    """
    path = _SYSFS if source == "live" else Path(source)
    if not is_directory(path):
        return _of_page(path)
    # By its name alone: without what a manifest says no deposit would be left to judge.
    if os.path.lexists(path / MANIFEST):
        return _of_manifest(path)
    if os.path.lexists(path / _PAGE):
        return _of_files(path)
    if (path / "data").is_file():
        if source != "live":
            return _of_sysfs(path, b"")
        # Deferred: only where the machine itself is asked.
        from e820pool.sources.live_devices import read_live_devices  # noqa: PLC0415

        running = _of_sysfs(path, read_line(_PROC_LINE))
        return replace(running, memory_devices=read_live_devices())
    raise BadImageError(f"{str(path)!r} has neither {MANIFEST} nor {_PAGE}: no handoff")


def _of_manifest(path: Path) -> Handoff:
    origin = str(path / MANIFEST)
    text = read_inside(path / MANIFEST).decode("utf-8", "replace")
    manifest = parse_manifest(text, origin)
    validate_listed(path, manifest)
    page = _parse_page(
        _read_part(path, manifest.boot_params), manifest.boot_params.file
    )
    nodes = [parse_node(_read_part(path, part)) for part in manifest.nodes]
    addrs = [part.addr for part in manifest.nodes]
    line = manifest.cmdline
    handoff = Handoff(
        boot_params=page,
        boot_params_addr=manifest.boot_params.addr,
        nodes=_place_nodes(page, addrs, nodes, origin),
        cmdline=_line_of(path, line),
        cmdline_addr=_line_addr(page, line, origin),
        kernel_window=manifest.kernel_window,
        initrd=manifest.initrd,
        ledger=manifest.ledger,
        firmware_map=_firmware_map(path),
        memory_devices=manifest.memory_devices,
        encoding=manifest.encoding,
    )
    return replace(handoff, notes=tuple(_tree_notes(path / "memmap", handoff)))


def _of_files(path: Path) -> Handoff:
    page = _parse_page(read_inside(path / _PAGE), str(path / _PAGE))
    nodes = [parse_node(read_inside(name)) for name in _node_files(path)]
    addrs = [page.hdr.setup_data, *(node.next for node in nodes)][: len(nodes)]
    line = path / _LINE
    return Handoff(
        boot_params=page,
        boot_params_addr=0,
        nodes=_place_nodes(page, addrs, nodes, str(path)),
        cmdline=read_line(line) if os.path.lexists(line) else b"",
        cmdline_addr=_line_pointer(page),
        firmware_map=_firmware_map(path),
    )


def _of_sysfs(path: Path, line: bytes) -> Handoff:
    page = _read_page(path / "data")
    payloads = read_sysfs_nodes(path / "setup_data")
    addrs, addr = [], page.hdr.setup_data
    for _, payload in payloads:
        addrs.append(addr)
        addr += NODE_HEADER_BYTES + len(payload)
    nodes = [
        SetupDataNode(type=kind, data=payload, next=following)
        for (kind, payload), following in zip(payloads, [*addrs[1:], 0], strict=False)
    ]
    return Handoff(
        boot_params=page,
        boot_params_addr=0,
        nodes=_place_nodes(page, addrs, nodes, str(path)),
        cmdline=line,
        cmdline_addr=_line_pointer(page),
    )


def _of_page(path: Path) -> Handoff:
    page = _read_page(path)
    return Handoff(
        boot_params=page,
        boot_params_addr=0,
        nodes=_place_nodes(page, [], [], str(path)),
        cmdline_addr=_line_pointer(page),
    )


def _read_page(path: Path) -> BootParams:
    return _parse_page(read_file(path), str(path))


def validate_listed(path: Path, manifest: Manifest) -> None:
    """Raise BadImageError for a part that the manifest does not name.

    It would be lost without a word.
    """
    listed = {part.file for part in (manifest.boot_params, *manifest.nodes)}
    listed |= {manifest.cmdline.file} if manifest.cmdline else set()
    for name in sorted(list_names(path)):
        if (
            name in (_PAGE, _LINE) or _NODE_FILE.fullmatch(name)
        ) and name not in listed:
            raise BadImageError(
                f"{str(path)!r} has {name}, which {MANIFEST} does not name"
            )


def _line_of(path: Path, part: SegmentDocument | None) -> bytes:
    # The file holds the line alone; what its segment has beyond it is zero.
    if part is None:
        return b""
    name = path / part.file
    line = read_line(name)
    if len(line) + 1 > part.size:
        raise BadImageError(
            f"{str(name)!r} has {len(line):#x} bytes and a NUL, {MANIFEST} says "
            f"{part.size:#x}"
        )
    return line


def _line_addr(page: BootParams, part: SegmentDocument | None, origin: str) -> int:
    pointer = _line_pointer(page)
    if part is not None and part.addr != pointer:
        raise BadImageError(
            f"{origin!r}: hdr.cmd_line_ptr is {pointer:#x}, but {part.file} is at "
            f"{part.addr:#x}"
        )
    return pointer


def _firmware_map(path: Path) -> MemoryMap | None:
    name = path / _FIRMWARE
    if not os.path.lexists(name):
        return None
    return read_map_json(read_inside(name).decode("utf-8", "replace"), origin=str(name))


def _tree_notes(path: Path, handoff: Handoff) -> Iterator[Finding]:
    # The zero page is what a kernel gets; stock kexec-tools reads the tree instead,
    # and then RAM over a deposit in it is as bad as in the page.
    if not is_directory(path):
        return
    rows = read_memmap_tree(path)
    tree = [(a, s, resource_name(t)) for a, s, t in rows.rows()]
    table = [(a, s, resource_name(t)) for a, s, t in handoff.table.rows()]
    if tree == table:
        return
    at = next(
        (i for i, (x, y) in enumerate(zip(tree, table, strict=False)) if x != y), None
    )
    ram = rows.table.bytes_of(E820_TYPE_RAM)
    exposed = handoff.ledger.extents & ram.pages_touched()
    yield Finding(
        id="memmap-tree-differs",
        level="unsafe" if exposed else "note",
        message=(
            f"{str(path)!r} has {counted(len(tree), 'entry')} and the handoff's table "
            f"{len(table)}: "
            + ("the shorter is cut" if at is None else f"they differ at entry {at}")
            + (f"; {exposed.nr_pages:#x} deposited pages are RAM in it" * bool(exposed))
        ),
        extents=tuple(exposed)[:LISTED],
    )


_NODE_FILE = re.compile(r"setup_data-([0-9]{1,9})\.bin")


def _parse_page(data: bytes, name: str) -> BootParams:
    if len(data) != BOOT_PARAMS_BYTES:
        raise BadImageError(
            f"{name!r} has {len(data):#x} bytes: a boot_params has "
            f"{BOOT_PARAMS_BYTES:#x}",
            ident="not-a-zero-page",
            about=name,
        )
    page = parse_boot_params(data)
    validate_e820_count(page)
    return page


# By number, from 0 or from 1.
def _node_files(path: Path) -> list[Path]:
    paths = {
        int(match[1]): path / match[0]
        for name in list_names(path)
        if (match := _NODE_FILE.fullmatch(name))
    }
    first = 0 if 0 in paths else 1
    for number in range(first, first + len(paths)):
        if number not in paths:
            raise BadImageError(
                f"{str(path)!r} has {counted(len(paths), 'node')} and no "
                f"setup_data-{number}.bin"
            )
    return [paths[number] for number in sorted(paths)]


# Each node where its address says, each pointer as it must be.
def _place_nodes(
    page: BootParams, addrs: list[int], nodes: list[SetupDataNode], origin: str
) -> tuple[PlacedNode, ...]:
    pointers = [page.hdr.setup_data, *(node.next for node in nodes)]
    for at, (pointer, addr) in enumerate(zip(pointers, [*addrs, 0], strict=True)):
        if pointer != addr or (at < len(nodes) and not pointer):
            whose = f"node {at - 1}'s next" if at else "hdr.setup_data"
            place = (
                f"node {at} is at {addr:#x}" if at < len(nodes) else "no node is there"
            )
            raise BadImageError(f"{origin!r}: {whose} is {pointer:#x}, but {place}")
    parse_chain(
        page.hdr.setup_data,
        [(addr, encode_node(node)) for addr, node in zip(addrs, nodes, strict=True)],
    )
    return tuple(
        PlacedNode(addr=addr, node=node)
        for addr, node in zip(addrs, nodes, strict=True)
    )


def _read_part(path: Path, part: SegmentDocument) -> bytes:
    data = read_inside(path / part.file)
    if len(data) != part.size:
        raise BadImageError(
            f"{str(path / part.file)!r} has {len(data):#x} bytes, the manifest says "
            f"{part.size:#x}"
        )
    return data


def read_line(name: Path) -> bytes:
    """Return the command line in a file, without what an editor puts at its end.

    Raises:
        BadImageError: it is over 2047 bytes, or not one line.
    """
    line = read_inside(name, empty=True).rstrip(b"\0").removesuffix(b"\n")
    if len(line) >= COMMAND_LINE_SIZE:
        raise BadImageError(
            f"{str(name)!r} has {len(line)} bytes: the limit of a command line is "
            f"{COMMAND_LINE_SIZE - 1}"
        )
    if b"\0" in line or b"\n" in line:
        raise BadImageError(f"{str(name)!r} is not one line of text")
    return line


# Both halves.
def _line_pointer(page: BootParams) -> int:
    return page.ext_cmd_line_ptr << 32 | page.hdr.cmd_line_ptr
