"""Read a memory map from a kernel log, in every dialect since 2.4."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import numpy as np

from e820pool.errors import BadImageError, InputError
from e820pool.memory_devices import MemoryDevices
from e820pool.memory_map import MemoryMap
from e820pool.sources.log_blocks import LogBlock, LoggedBoot, boots_of
from e820pool.sources.log_entry import BLOCKS, BlockName
from e820pool.sources.log_notes import log_notes
from e820pool.sources.log_text import Piece, clean_lines
from e820pool.sources.oddities import note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from e820pool.findings import Finding

__all__ = ("BLOCKS", "BlockName", "has_broken_map", "looks_like_dmesg", "read_dmesg")

_HEADLINES: dict[BlockName, str] = {
    "bios": "BIOS-provided",
    "extended": "extended (SETUP_E820_EXT)",
    "setup_data": "extended (reserve setup_data)",
    "user": "user-defined",
    "modified": "modified",
}
# Of more boots the first and the last are named.
_LISTED = 8
# The start of a line of a map, or of its headline: enough to tell a log from another
# text. What is looked for first is a plain word, which is fast.
_WORDS = (
    *("BIOS-", "Xen: ", "LGUEST: ", "user: ", "modified: ", "extended: "),
    *("setup_data: ", "e820: ", "physical RAM map:"),
)
_LOOKS = re.compile(
    r"(?:BIOS-(?:e820|e801|88)|Xen|LGUEST|user|modified|extended|setup_data): {1,4}"
    r"(?:\[(?:mem|gap) 0x|[0-9a-f]{16} [-@])"
    r"|e820: [0-9a-f]{16} @|physical RAM map:"
)


def looks_like_dmesg(text: str) -> bool:
    """Return whether the text has a line of a map as kernels print it."""
    return any(_looks_at(text, word) for word in _WORDS)


def has_broken_map(text: str | Iterable[Piece]) -> bool:
    """Return whether a text of which no line looks so has a kernel's map nevertheless.

    Transports may have broken or coded every line of it.
    """
    return bool(boots_of(clean_lines(text)))


def _looks_at(text: str, word: str) -> bool:
    at = text.find(word)
    while at >= 0 and not _LOOKS.match(text, at):
        at = text.find(word, at + 1)
    return at >= 0


def read_dmesg(
    text: str | Iterable[Piece],
    *,
    block: str | None = None,
    boot: int | None = None,
    origin: str = "",
) -> MemoryMap:
    """Return the map that a kernel log shows, with notes of what is cut or odd.

    Of several boots the last whole one is read that is no capture kernel's. Without
    ``block`` the BIOS map is read, or if the log has none, the first that it has, and
    a note says so.

    Args:
        text: the log, with any prefixes.
        block: one of ``BLOCKS``. A log without an ``extended`` map gives its
            ``setup_data`` map, which kernels print under the same headline.
        boot: which of several boots, from 1; None to choose as above.
        origin: the name of the source, for messages.

    Raises:
        InputError: ``block`` is no name of a block, or not in the log; the log has no
            such boot.
        BadImageError: the log has no map.
    """
    if block is not None and block not in get_args(BlockName):
        raise InputError(f"block {block!r} is none of {', '.join(BLOCKS)}")
    boots = boots_of(clean_lines(text))
    shown = [b for b in boots if any(map(_has_ranges, b.blocks.values()))]
    if not shown:
        raise BadImageError(_without_entries(boots, origin))
    if boot is not None and not 1 <= boot <= len(shown):
        raise InputError(
            f"{origin!r} has no boot {boot}: it shows {len(shown)}, {_listed(shown)}"
        )
    among = shown if boot is None else [shown[boot - 1]]
    name, notes = _choose_block(among, block, origin)
    chosen = _choose_boot(among, name)
    notes += _note_boots(shown, chosen, name)
    block_of = chosen.blocks[name]
    first = block_of.first_range
    return MemoryMap(
        entries=block_of.entries.table(),
        origin=f"{origin} ({_HEADLINES[name]} map of a kernel log, "
        f"{first.who if first else '?'})",
        notes=(*notes, *log_notes(chosen, block_of)),
        devices=(
            MemoryDevices(regions=tuple(chosen.hotplug)) if chosen.hotplug else None
        ),
    )


def _has_ranges(block: LogBlock) -> bool:
    return block.first_range is not None


def _without_entries(boots: Sequence[LoggedBoot], origin: str) -> str:
    cut = [entry.line for boot in boots for entry in boot.cut]
    lines = f": {len(cut)} are cut, the first in line {cut[0]}" if cut else ""
    return f"{origin!r} is a kernel log with 0 entries of a map{lines}"


def _choose_block(
    boots: Sequence[LoggedBoot], block: str | None, origin: str
) -> tuple[BlockName, list[Finding]]:
    present = [name for name in BLOCKS if any(_shows(boot, name) for boot in boots)]
    for name in present:
        if name == (block or "bios"):
            return name, []
    if block is None:
        message = f"the log has no BIOS map: its {present[0]} map was read"
        return present[0], [note("no-bios-map", message)]
    if block == "extended" and "setup_data" in present:
        message = "the extended map of this log is the one with setup_data marked"
        return "setup_data", [note("setup-data-map", message)]
    raise InputError(f"{origin!r} has no {block} map: it has {', '.join(present)}")


def _shows(boot: LoggedBoot, name: BlockName) -> bool:
    return name in boot.blocks and _has_ranges(boot.blocks[name])


# The last that is the machine's own and whole; failing that, the last at all.
def _choose_boot(boots: Sequence[LoggedBoot], name: BlockName) -> LoggedBoot:
    having = [boot for boot in boots if _shows(boot, name)]
    own = [boot for boot in having if not boot.is_capture] or having
    return next((boot for boot in reversed(own) if _is_whole(boot, name)), own[-1])


def _is_whole(boot: LoggedBoot, name: BlockName) -> bool:
    block = boot.blocks[name]
    return block.has_header and block.is_followed


def _note_boots(
    shown: Sequence[LoggedBoot], chosen: LoggedBoot, name: BlockName
) -> Iterator[Finding]:
    if len(shown) > 1:
        read = chosen.blocks[name].entries
        maps = (boot.blocks[name].entries for boot in shown if _shows(boot, name))
        same = all(m is read or np.array_equal(m.table(), read.table()) for m in maps)
        yield note(
            "several-boots",
            f"{len(shown)} boots show a map{', all the same' * same}: read was number "
            f"{shown.index(chosen) + 1}, from line {chosen.first_line}; "
            f"--log-boot N reads another: {_listed(shown)}",
        )
    if chosen.is_capture:
        yield note(
            "capture-kernel",
            f"boot {shown.index(chosen) + 1} is a capture kernel's (elfcorehdr= is in "
            "its command line): its RAM is what a crashed kernel kept for it, and not "
            "the machine's",
        )


def _listed(boots: Sequence[LoggedBoot]) -> str:
    numbered = [_named(at, boot) for at, boot in enumerate(boots, 1)]
    if len(numbered) > _LISTED:
        half = _LISTED // 2
        numbered = [*numbered[:half], "...", *numbered[-half:]]
    return ", ".join(numbered)


def _named(at: int, boot: LoggedBoot) -> str:
    release = f" Linux {boot.release}" * bool(boot.release)
    capture = ", a capture kernel" * boot.is_capture
    return f"{at} (line {boot.first_line}{release}{capture})"
