"""Read a memory map from a kernel log, in every dialect since 2.4."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError, InputError
from e820pool.memory_map import MemoryMap
from e820pool.sources.log_blocks import Boot, LogBlock, boots_of
from e820pool.sources.log_entry import BLOCKS, BlockName
from e820pool.sources.log_notes import log_notes
from e820pool.sources.log_text import clean_lines
from e820pool.sources.oddities import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.findings import Finding

__all__ = ("BLOCKS", "BlockName", "looks_like_dmesg", "read_dmesg")

_HEADLINES: dict[BlockName, str] = {
    "bios": "BIOS-provided",
    "extended": "extended (SETUP_E820_EXT)",
    "setup_data": "extended (reserve setup_data)",
    "user": "user-defined",
    "modified": "modified",
}
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


def _looks_at(text: str, word: str) -> bool:
    at = text.find(word)
    while at >= 0 and not _LOOKS.match(text, at):
        at = text.find(word, at + 1)
    return at >= 0


def read_dmesg(text: str, *, block: str | None = None, origin: str = "") -> MemoryMap:
    """Return the map that a kernel log shows, with notes of what is cut or odd.

    Of several boots the last whole one is read. Without ``block`` the BIOS map is
    read, or if the log has none, the first that it has, and a note says so.

    Args:
        text: the log, with any prefixes.
        block: one of ``BLOCKS``. A log without an ``extended`` map gives its
            ``setup_data`` map, which kernels print under the same headline.
        origin: the name of the source, for messages.

    Raises:
        InputError: ``block`` is no name of a block, or not in the log.
        BadImageError: the log has no map.
    """
    if block is not None and block not in get_args(BlockName):
        raise InputError(f"block {block!r} is none of {', '.join(BLOCKS)}")
    boots = boots_of(clean_lines(text))
    shown = [boot for boot in boots if any(b.ranges() for b in boot.blocks.values())]
    if not shown:
        raise BadImageError(f"{origin!r} is a kernel log with 0 entries of a map")
    name, notes = _choose_block(shown, block, origin)
    boot, chosen, about = _choose_boot(shown, name)
    who = chosen.ranges()[0].who
    return MemoryMap(
        entries=table_of(_rows(chosen)),
        origin=f"{origin} ({_HEADLINES[chosen.name]} map of a kernel log, {who})",
        notes=(*notes, *about, *log_notes(boot, chosen)),
    )


def _rows(block: LogBlock) -> list[tuple[int, int, int]]:
    return [(e.addr, e.size, e.type) for e in block.entries if e.type is not None]


def _choose_block(
    boots: Sequence[Boot], block: str | None, origin: str
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


def _shows(boot: Boot, name: BlockName) -> bool:
    return name in boot.blocks and bool(boot.blocks[name].ranges())


def _choose_boot(
    boots: Sequence[Boot], name: BlockName
) -> tuple[Boot, LogBlock, list[Finding]]:
    having = [boot for boot in boots if _shows(boot, name)]
    chosen = next((b for b in reversed(having) if _is_whole(b, name)), having[-1])
    block = chosen.blocks[name]
    if len(having) == 1:
        return chosen, block, []
    same = all(_rows(boot.blocks[name]) == _rows(block) for boot in having)
    message = (
        f"{len(having)} boots show this map{', all the same' if same else ''}: read "
        f"was number {having.index(chosen) + 1}, from line {block.lines[0]}"
    )
    return chosen, block, [note("several-boots", message)]


def _is_whole(boot: Boot, name: BlockName) -> bool:
    block = boot.blocks[name]
    return block.has_header and boot.last_line > block.lines[-1]
