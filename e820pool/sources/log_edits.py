"""Read what a kernel says of RAM that it took away after it had printed its map."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
from e820pool.sources.log_entry import State, length_begun
from e820pool.type_words import match_log_words

if TYPE_CHECKING:
    from e820pool.range_lists import StartEnd

__all__ = (
    "AFTER_MAP",
    "LaterEdit",
    "after_map_start",
    "after_map_state",
    "edit_of",
    "is_surely_edit",
)

# trim_bios_range() (arch/x86/kernel/setup.c) edits the first page and the BIOS area in
# every kernel.
_LOW_MEMORY = 1 << 20

# Any blank may be gone where a line was broken. Edits of the table:
# __e820__range_update() and __e820__range_remove(), arch/x86/kernel/e820.c; with
# "range:" from 2.6.27 to 3.4. RAM that is taken without an edit: the GART's aperture
# (allocate_aperture(), arch/x86/kernel/aperture_64.c; "N KB of RAM @ ADDR" to 3.4) and
# what memtest= calls bad (reserve_bad_mem(), mm/memtest.c).
_HEX = "[0-9a-fA-F]{1,16}"
_S = r"\s{0,4}"
_RANGE = (
    rf"\[{_S}mem{_S}0x(?P<start>{_HEX}){_S}-{_S}0x(?P<last>{_HEX}){_S}\]"
    rf"|(?P<from>[0-9a-fA-F]{{16}}){_S}-{_S}(?P<to>[0-9a-fA-F]{{16}})"
)
#: What is said after a map, as a pattern with the group ``edit``, ``taken`` or ``pfn``.
AFTER_MAP = (
    rf"e820:?{_S}(?P<edit>update|remove){_S}(?:range:{_S})?(?:{_RANGE})"
    rf"|(?P<taken>Mapping aperture over) (?:RAM \[mem 0x(?P<gart>{_HEX})-"
    rf"0x(?P<gart_last>{_HEX})\]|(?P<kib>[0-9]{{1,9}}) KB of RAM @ (?P<at>{_HEX}))"
    rf"|[0-9a-f]{{16}} (?P<bad>bad mem addr) 0x(?P<bad_start>{_HEX}) - "
    rf"0x(?P<bad_end>{_HEX}) reserved"
    rf"|last_pfn{_S}=?{_S}(?P<pfn>0x{_HEX})(?=\s|$|max_arch)"
)
_AFTER_MAP = re.compile(AFTER_MAP)


# Every start of a text, down to the first of its parts.
def _starts_of(*parts: str) -> str:
    pattern = ""
    for part in reversed(parts[1:]):
        pattern = f"(?:{part}{pattern})?"
    return parts[0] + pattern


_DIGITS = rf"{_HEX}\s*"
_BEGUN_RANGES = (
    (r"\[", "m", "e", r"m\s*", "0", "x", _DIGITS, r"-\s*", "0", "x", _DIGITS, r"\]"),
    ("r", "a", "n", "g", "e", r":\s*", _DIGITS, r"-\s*", _DIGITS),
)
_BEGUN_WORDS = (r"\s*[^=]{0,40}", "={1,2}", ">[^=]{0,40}")
_BEGUN = re.compile(
    "|".join(
        _starts_of(
            *("e", "8", "2", r"0:?\s*", *verb, r"\s*", f"(?:{_starts_of(*kind)})"),
            *_BEGUN_WORDS,
        )
        for verb in ("update", "remove")
        for kind in _BEGUN_RANGES
    )
    + "|"
    + _starts_of(*"last_pfn", r"\s*", r"=\s*", "0", "x", _HEX)
)
# So much of an edit that what is missing of it may be RAM above 1 MiB.
_SURELY = re.compile(
    r"e820:?\s*(?:update|remove)\s*"
    r"(?:\[\s*mem\s*0x(?!000)|range:\s*(?!0{11}))[0-9a-fA-F]"
)
_HEADS = ("e820", "last_pfn")
_TAIL = 160


class LaterEdit(NamedTuple):
    """What a kernel did to its RAM after it had printed a map.

    Attributes:
        line: number of the line that says so.
        addr, size: bytes.
        before, after: types; ``after`` is None where the range was removed.
    """

    line: int
    addr: int
    size: int
    before: int | None
    after: int | None

    @property
    def takes_ram(self) -> bool:
        """Return whether RAM became something else, or nothing."""
        stays = (E820_TYPE_RAM, E820_TYPE_RESERVED_KERN)
        return self.before == E820_TYPE_RAM and self.after not in stays

    @property
    def is_above_low_memory(self) -> bool:
        """Return whether it reaches above 1 MiB: what lies below, all kernels edit."""
        return self.addr + self.size > _LOW_MEMORY


def edit_of(match: re.Match[str], words: str, line: int) -> LaterEdit | None:
    """Return the edit that a match of :data:`AFTER_MAP` tells; None for another.

    Args:
        match: where the message stands.
        words: what follows it.
        line: its number.
    """
    if match["taken"] is not None or match["bad"] is not None:
        addr, end = _taken(match)
        return LaterEdit(line, addr, max(end - addr, 0), E820_TYPE_RAM, None)
    if match["edit"] is None:
        return None
    if match["start"] is not None:
        addr, end = int(match["start"], 16), int(match["last"], 16) + 1
    else:
        addr, end = int(match["from"], 16), int(match["to"], 16)
    before, after = _sides(words)
    return LaterEdit(
        line,
        addr,
        max(end - addr, 0),
        match_log_words(before).kind,
        match_log_words(after).kind,
    )


# The types before and after: of the arrow between them a sign is gone where a line
# ended with it, which in mail says that the line goes on.
def _sides(words: str) -> tuple[str, str]:
    before, *after = re.split("={1,2}>", words, maxsplit=1)
    return before.strip(), "".join(after).strip()


def _taken(match: re.Match[str]) -> StartEnd:
    if match["bad"] is not None:
        return int(match["bad_start"], 16), int(match["bad_end"], 16)
    if match["gart"] is not None:
        return int(match["gart"], 16), int(match["gart_last"], 16) + 1
    start = int(match["at"], 16)
    return start, start + (int(match["kib"]) << 10)


def after_map_state(text: str) -> State:
    """Return what a text is that starts as an edit or a last_pfn, or with a part."""
    match = _AFTER_MAP.match(text)
    if match is not None:
        words = text[match.end() :]
        if match["pfn"] is not None:
            return "whole" if words else "begun"
        before, after = _sides(words)
        if match_log_words(after if match["edit"] == "update" else before).length:
            return "whole"
    return "begun" if _BEGUN.fullmatch(text.rstrip()) else "other"


def after_map_start(text: str) -> int | None:
    """Return where the end of a line is an edit or a last_pfn that may go on."""
    for head in _HEADS:
        at = text.rfind(head, max(0, len(text) - _TAIL))
        if at < 0:
            at = len(text) - length_begun(text, head)
        if at < len(text) and after_map_state(text[at:]) == "begun":
            return at
    return None


def is_surely_edit(text: str) -> bool:
    """Return whether a text that is a part of an edit may be one above 1 MiB."""
    return _SURELY.match(text) is not None
