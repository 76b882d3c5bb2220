"""Read one line of a kernel log as a piece of a memory map, whole or broken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

from e820pool.type_words import (
    TYPE_WITHOUT_NUMBER,
    LogDialect,
    are_words_begun,
    match_log_words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.range_lists import StartCount, StartEnd

__all__ = (
    "BLOCKS",
    "HEAD",
    "HEADLINE",
    "BlockName",
    "LogEntry",
    "State",
    "begins_entry",
    "begun_head",
    "block_of_headline",
    "block_of_who",
    "body_starts",
    "entry_state",
    "fragments",
    "is_surely_entry",
    "length_begun",
    "parse_entry",
)

BlockName = Literal["bios", "extended", "setup_data", "user", "modified"]
"""One of :data:`BLOCKS`."""

BLOCKS: tuple[BlockName, ...] = ("bios", "extended", "setup_data", "user", "modified")
"""In the order in which a kernel prints them."""

State = Literal["whole", "begun", "other"]
"""What a text is that starts as a message, such as an entry, or with a part of it."""

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
# A name is no part of a longer word, but where two lines were joined with nothing
# between them the end of an entry or of a headline stands before it.
_JOINED = ("usable", "served", "data", "NVS", "RAM", "map:", "\\)", "\\d")
_AFRESH = rf"(?:(?<![\w-])|{'|'.join(f'(?<={end})' for end in _JOINED)})"
_PLAIN = "BIOS-e820|BIOS-e801|BIOS-88"
_WHO = r"Xen|LGUEST|e820|extended|reserve\s{0,4}setup_data|user|modified"

#: The name before an entry, as a pattern with the group ``who``.
HEAD = rf"(?P<who>{_PLAIN}|{_AFRESH}(?:{_WHO})):\s{{0,40}}"
_HEAD = re.compile(HEAD)

_HEX = "[0-9a-fA-F]"
_RANGE = re.compile(
    rf"\[\s*(?P<kind>mem|gap)\s*0x(?P<first>{_HEX}{{1,16}})\s*-"
    rf"\s*0x(?P<last>{_HEX}{{1,16}})\s*\]"
    rf"|(?P<left>{_HEX}{{8,16}})\s*(?P<mark>[-@])\s*(?P<right>{_HEX}{{8,16}})"
    r"(?!(?!type)[0-9A-Za-z])"
)


# A pattern for every start of what the parts form, down to nothing.
def _any_start_of(*parts: str) -> str:
    pattern = ""
    for part in reversed(parts):
        pattern = rf"(?:{part}{pattern})?"
    return pattern


# Between characters of one word nothing may stand, between words blanks may.
_BEGUN_RANGE = re.compile(
    _any_start_of(
        *(r"\[\s*", "[mg]", "[ea]", r"[mp]\s*", "0", "x", rf"{_HEX}{{1,16}}\s*"),
        *(r"-\s*", "0", "x", rf"{_HEX}{{1,16}}\s*"),
    )
    + "|"
    + _any_start_of(rf"{_HEX}{{1,16}}\s*", r"[-@]\s*", rf"{_HEX}{{1,16}}\s*")
)
# So much of a range that it is no other message.
_SURELY = re.compile(rf"\[\s*(?:mem|gap)\s*0x|0{_HEX}{{7}}")

# "provied" is how 2.4 spelled it for a while.
_MAP_NAME = r"BIOS-provid?ed|extended|user-defined|modified"
#: The headline of a map, as a pattern with the group ``map_name``.
HEADLINE = rf"(?P<map_name>{_MAP_NAME})\s{{0,40}}physical\s{{0,40}}RAM\s{{0,40}}map:?"
_HEADLINE = re.compile(HEADLINE)
_HEADLINES = tuple(
    f"{name}physicalRAMmap"
    for name in (
        "BIOS-provided",
        "BIOS-provied",
        "extended",
        "user-defined",
        "modified",
    )
)
_BEGUN_MAP_NAME = re.compile(r"BIOS-p|user-d|extended|modified")
_BLOCK_OF_HEADLINE: dict[str, BlockName] = {
    "extended": "extended",
    "user-defined": "user",
    "modified": "modified",
}

_ONLY: dict[LogDialect, frozenset[LogDialect]] = {
    dialect: frozenset({dialect}) for dialect in get_args(LogDialect)
}
_SINCE_3_5: frozenset[LogDialect] = frozenset({"3.5", "7.0"})

_WRAP = 1 << 64
# What is read of a line to tell the words of a type.
_WORDS_LIMIT = 80
# A blank at the end of a line, as quoted-printable has it.
_CODED_BLANK = "=20"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One range that a kernel printed.

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

    @property
    def is_read(self) -> bool:
        """Return whether the type, or that it is a gap, was understood."""
        return self.has_words and not self.words


def block_of_headline(map_name: str) -> BlockName:
    """Return which map the group ``map_name`` of :data:`HEADLINE` opens.

    ``extended`` stands for both maps that are printed under that headline: after
    SETUP_E820_EXT, and with the setup_data nodes marked.
    """
    return _BLOCK_OF_HEADLINE.get(map_name, "bios")


def block_of_who(who: str) -> BlockName:
    """Return the map of the group ``who`` of :data:`HEAD`."""
    return _BLOCK_OF_WHO[_known(who)]


def _known(who: str) -> str:
    return "reserve setup_data" if who.startswith("reserve") else who


def parse_entry(text: str, prefix: str = "") -> tuple[LogEntry, int] | None:
    """Return the entry that starts a text with its name, and where it ends.

    Words that no kernel prints give ``TYPE_WITHOUT_NUMBER``, so that a range is
    never lost and never RAM by mistake; they are all there is in ``text``.

    Args:
        text: from the name on.
        prefix: what stands before the name; where it comes again, the next line was
            joined to this one.
    """
    head = _HEAD.match(text)
    match = _RANGE.match(text, head.end()) if head else None
    if head is None or match is None:
        return None
    who = _known(head["who"])
    if who == "e820" and match["mark"] != "@":
        # 3.5 to 4.x: "e820: [mem ..] available for PCI devices" is no entry.
        return None
    tail = text[match.end() : match.end() + _WORDS_LIMIT]
    tail = _without_prefix(tail, prefix).rstrip()
    words = tail.removesuffix(_CODED_BLANK).strip()
    if not words and match["mark"] and len(match["left"]) != len(match["right"]):
        return None  # the line ends inside of the second number
    log_words = match_log_words(words)
    is_gap = match["kind"] == "gap"
    is_known = is_gap or log_words.kind is not None
    addr, size = _range_of(match)
    kind = TYPE_WITHOUT_NUMBER if log_words.kind is None else log_words.kind
    entry = LogEntry(
        block=_BLOCK_OF_WHO[who],
        who=who,
        addr=addr,
        size=size,
        type=None if is_gap else kind,
        dialects=_dialects_of(match, log_words.dialect),
        words="" if is_known else words[:40],
        has_words=is_known or bool(words),
    )
    skipped = len(tail) - len(tail.lstrip()) if log_words.length else 0
    return entry, match.end() + skipped + log_words.length


def _range_of(match: re.Match[str]) -> StartCount:
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
        return _ONLY["2.4"]
    if match["mark"] == "-":
        return _ONLY["pre-3.5"]
    if match["kind"] == "gap":
        return _ONLY["7.0"]
    return _ONLY[only] if only else _SINCE_3_5


def entry_state(text: str) -> State:
    """Return what a text is that starts with a name, a headline or a part of either.

    ``begun`` is every text that more characters could make whole.
    """
    text = text.rstrip().removesuffix(_CODED_BLANK)
    if _HEADLINE.match(text):
        return "whole"
    head = _HEAD.match(text)
    if head is None:
        names = (f"{who}:".startswith(text) for who in _BLOCK_OF_WHO)
        begun = any(names) or _is_begun_headline(text)
    elif _BEGUN_RANGE.fullmatch(text, head.end()):
        begun = True
    else:
        match = _RANGE.match(text, head.end())
        if match is None or (head["who"] == "e820" and match["mark"] != "@"):
            return "other"
        words = text[match.end() :].strip()
        if match["kind"] == "gap" or match_log_words(words).kind is not None:
            return "whole" if _has_equal_numbers(match) else "other"
        begun = are_words_begun("".join(words.split()))
    return "begun" if begun else "other"


def _is_begun_headline(text: str) -> bool:
    bare = "".join(text.split()).removesuffix(":")
    return any(headline.startswith(bare) for headline in _HEADLINES)


# Kernels print both with as many digits: a number that was put together from two
# lines that do not belong together has too many.
def _has_equal_numbers(match: re.Match[str]) -> bool:
    names = ("left", "right") if match["mark"] else ("first", "last")
    return len({len(match[name]) for name in names}) == 1


def is_surely_entry(text: str) -> bool:
    """Return whether a text that starts with a name is the start of an entry."""
    head = _HEAD.match(text)
    return head is not None and _SURELY.match(text, head.end()) is not None


def begins_entry(text: str) -> bool:
    """Return whether a line ends inside of the entry that it starts with a name."""
    return _HEAD.match(text) is not None and entry_state(text) == "begun"


def begun_head(text: str, who: str) -> int | None:
    """Return where the end of a line is the start of a name; None if nowhere.

    Args:
        text: the line.
        who: the name of the entries around it, "" where none was seen.
    """
    text = text.rstrip().removesuffix(_CODED_BLANK)
    for match in _BEGUN_MAP_NAME.finditer(text, max(len(text) - _WORDS_LIMIT, 0)):
        if _is_begun_headline(text[match.start() :]):
            return match.start()
    names = (*((who,) if who else _BLOCK_OF_WHO), *_HEADLINES)
    longest = max(length_begun(text, f"{name}:") for name in names)
    return len(text) - longest if longest else None


def length_begun(text: str, name: str) -> int:
    """Return how many characters at the end of a text are the start of a name."""
    for length in range(min(len(name), len(text)), 0, -1):
        if text.endswith(name[:length]):
            return length
    return 0


# What may stand before a line: quote and comment marks; a level, facility and time
# stamp, a caller; syslog's date, host and tag; what grep -n, grep -H and cat -n add.
_QUOTES = r"[\s>|#*;]{0,40}"
_STAMP = r"(?:\[(?!\s{0,4}(?:mem|gap))[^\[\]]{1,40}\]\s{0,8}){0,3}"
_PREFIXES = (
    re.compile(
        _QUOTES + r"[^\[\]]{0,100}?\b(?:kernel|klogd)(?:\[[0-9]{1,9}\])?:\s*" + _STAMP
    ),
    re.compile(_QUOTES + r"(?:<[0-9]{1,3}>)?(?:\w+\s*:\w+\s*:\s*)?" + _STAMP),
    re.compile(_QUOTES + r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]\S+\s+"),
    re.compile(_QUOTES + r"[^\s:]{0,200}:(?:[0-9]{1,9}[:-])?\s*"),
    re.compile(_QUOTES + r"[0-9]{1,8}(?:[:|)]\s*|\s+)"),
    re.compile(_QUOTES),
    re.compile(r"\s*"),
)
_SURE_PREFIXES = (*_PREFIXES[:2], *_PREFIXES[-2:])
_RUNS = re.compile(r"[\s0-9]+|[^\s0-9]+")
_PREFIX_LIMIT = 160


@lru_cache(maxsize=64)
def _like(prefix: str) -> re.Pattern[str]:
    # A prefix with other numbers: times go on, and blanks make room for them. A year
    # at its start stays as long as it is, since a number may end right before it.
    year = re.match(r"[0-9]{4}", prefix)
    runs = _RUNS.findall(prefix[4:] if year else prefix)
    return re.compile("[0-9]{4}" * bool(year) + "".join(map(_like_run, runs)))


def _like_run(run: str) -> str:
    if run[0].isdigit() or run[0].isspace():
        return r"[\s0-9]+" if any(map(str.isdigit, run)) else r"\s+"
    return re.escape(run)


def body_starts(text: str, prefix: str, *, like: bool = False) -> Iterator[int]:
    """Yield where what a line says may start, the likeliest first.

    Args:
        text: the line.
        prefix: what stands before the entry that the line may go on with.
        like: no prefix that may end in a number.
    """
    seen: set[int] = set()
    patterns = (_like(prefix[:_PREFIX_LIMIT]),) if prefix.strip() else ()
    for pattern in (*patterns, *(_SURE_PREFIXES if like else _PREFIXES)):
        match = pattern.match(text)
        if match and match.end() not in seen:
            seen.add(match.end())
            yield match.end()


def _without_prefix(text: str, prefix: str) -> str:
    if not prefix.strip() or len(prefix) > _PREFIX_LIMIT:
        return text
    match = _like(prefix).search(text)
    return text[: match.start()] if match else text


# What looks like an entry, or like what a broken line left of one: the end of a range
# beside a word for a type.
_LOOKS = re.compile(
    rf"(?:{_HEX}\s*\]|{_HEX}{{4}}(?=\s*\())\s*\(?\s*"
    r"(?:usable|reserved|unusable|ACPI|persistent|soft|type\s*[0-9]|System\s*RAM"
    rf"|device\s*reserved)|{_HEX}{{4}}\s+type\s*[0-9]"
)


def fragments(text: str) -> Iterator[StartEnd]:
    """Yield ``(start, end)`` of what looks like the end of an entry, with its type."""
    for match in _LOOKS.finditer(text):
        yield match.span()
