"""Read one line of a kernel log as a piece of a memory map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from e820pool.type_words import (
    TYPE_WITHOUT_NUMBER,
    LogDialect,
    parse_log_words,
)

__all__ = (
    "BLOCKS",
    "BlockName",
    "LogEntry",
    "block_of_header",
    "is_cut_entry",
    "parse_entry",
)

BlockName = Literal["bios", "extended", "setup_data", "user", "modified"]
"""One of :data:`BLOCKS`."""

BLOCKS: tuple[BlockName, ...] = ("bios", "extended", "setup_data", "user", "modified")
"""In the order in which a kernel prints them."""

# The name before the colon: memory_setup() returns the first ones, the rest are
# what the later stages call themselves (arch/x86/kernel/e820.c, 2.4 to 7.3).
_BLOCK_OF_WHO: dict[str, BlockName] = {
    "BIOS-e820": "bios",
    "BIOS-e801": "bios",
    "BIOS-88": "bios",
    "Xen": "bios",
    "LGUEST": "bios",
    "e820": "bios",
    "extended": "extended",
    "reserve setup_data": "setup_data",
    "user": "user",
    "modified": "modified",
}
_WHO = "|".join(_BLOCK_OF_WHO)
_HEAD = rf"(?:^|[^\w-])(?P<who>{_WHO}): {{1,4}}"
_HEX = "[0-9a-fA-F]"
_ENTRY = re.compile(
    rf"{_HEAD}(?:"
    rf"\[(?P<kind>mem|gap) 0x(?P<first>{_HEX}{{1,16}})-0x(?P<last>{_HEX}{{1,16}})\]"
    rf"|(?P<left>{_HEX}{{8,16}}) (?P<mark>[-@]) (?P<right>{_HEX}{{8,16}})(?= |$)"
    r")(?P<words>.{0,80})"
)
# A line that set out to be one of the above.
_CUT = re.compile(_HEAD + r"(?:\[(?:mem|gap) 0x|0[0-9a-fA-F]{7})")

# "provied" is how 2.4 spelled it for a while.
_HEADER = re.compile(
    r"(?P<what>BIOS-provid?ed|extended|user-defined|modified) physical RAM map"
)
_BLOCK_OF_HEADER: dict[str, BlockName] = {
    "extended": "extended",
    "user-defined": "user",
    "modified": "modified",
}

_WRAP = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """Hold one printed range.

    Attributes:
        block: of which map it is a part.
        who: the name the kernel printed before it.
        addr, size: bytes; a size that reaches 2^64 is kept.
        type: e820 type, None for a gap line.
        dialects: the dialects in which a kernel prints such a line.
        words: what stood where the type is printed, if it is no kernel's word.
        has_words: False when the line ends after the range.
    """

    block: BlockName
    who: str
    addr: int
    size: int
    type: int | None
    dialects: frozenset[LogDialect]
    words: str = ""
    has_words: bool = True


def block_of_header(text: str) -> BlockName | None:
    """Return which map a line such as ``BIOS-provided physical RAM map:`` opens.

    ``extended`` stands for both maps that are printed under that header: after
    SETUP_E820_EXT, and with the setup_data nodes marked.
    """
    match = _HEADER.search(text)
    return _BLOCK_OF_HEADER.get(match["what"], "bios") if match else None


def is_cut_entry(text: str) -> bool:
    """Return whether a line begins as an entry does, and is not a whole one."""
    match = _CUT.search(text)
    if match is None or (match["who"] == "e820" and "[" in match[0]):
        return False
    return parse_entry(text) is None


def parse_entry(text: str) -> LogEntry | None:
    """Return the entry that a line holds, whatever stands before it.

    Words that no kernel prints give ``TYPE_WITHOUT_NUMBER``, so that a range is
    never lost and never RAM by mistake.
    """
    match = _ENTRY.search(text)
    if match is None:
        return None
    who, kind = match["who"], match["kind"]
    if who == "e820" and match["mark"] != "@":
        # 3.5 to 4.x: "e820: [mem ..] available for PCI devices" is no entry.
        return None
    words = match["words"].removesuffix("=20").strip()
    type_, only = parse_log_words(words)
    known = kind == "gap" or type_ is not None
    addr, size = _range_of(match)
    return LogEntry(
        block=_BLOCK_OF_WHO[who],
        who=who,
        addr=addr,
        size=size,
        type=None if kind == "gap" else _or_unknown(type_),
        dialects=_dialects_of(match, only),
        words="" if known else words[:40],
        has_words=known or bool(words),
    )


def _or_unknown(kind: int | None) -> int:
    return TYPE_WITHOUT_NUMBER if kind is None else kind


def _range_of(match: re.Match[str]) -> tuple[int, int]:
    # What kernels print wraps at 2^64, so the size comes back modulo 2^64: an empty
    # entry has its last byte below its first.
    if match["mark"] == "@":
        return int(match["right"], 16), int(match["left"], 16)
    if match["mark"] == "-":
        addr, end = int(match["left"], 16), int(match["right"], 16)
    else:
        addr, end = int(match["first"], 16), int(match["last"], 16) + 1
    return addr, (end - addr) % _WRAP


def _dialects_of(
    match: re.Match[str], only: LogDialect | None
) -> frozenset[LogDialect]:
    if match["mark"] == "@":
        return frozenset({"2.4"})
    if match["mark"] == "-":
        return frozenset({"pre-3.5"})
    if match["kind"] == "gap":
        return frozenset({"7.0"})
    return frozenset({only}) if only else frozenset({"3.5", "7.0"})
