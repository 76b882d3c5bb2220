"""Read a memory map from the text of /proc/iomem."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError
from e820pool.findings import counted
from e820pool.memory_map import MemoryMap
from e820pool.sources.log_entry import body_starts
from e820pool.sources.log_text import LogLine, Piece, clean_lines
from e820pool.sources.oddities import note
from e820pool.type_words import RESOURCE_NAMES, type_of_resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from e820pool.findings import Finding

__all__ = ("looks_like_iomem", "named_ranges", "read_iomem")

# Any prefix may stand before a range (grep -H, cat -n, a logger's), but no letter or
# digit: unless two lines were joined with nothing between them.
_NAMES = "|".join(map(re.escape, RESOURCE_NAMES))
_AFTER_NAME = "|".join(f"(?<={re.escape(name)})" for name in RESOURCE_NAMES)
# Eight digits at least, and no zero before more; people leave zeros out.
_HEX = "(?:0[0-9a-f]{3,7}|[1-9a-f][0-9a-f]{3,15})"
_RANGE = re.compile(
    rf"(?:(?<![0-9A-Za-z])|{_AFTER_NAME})(?P<first>{_HEX})-(?P<last>{_HEX})\s*:\s*"
    r"(?=[^\s:])"
)
_NAME_LIMIT = 200
# A deeper one is as good as this.
_INDENT_LIMIT = 0xFFFF
# Blanks and quote marks before a number.
_BLANKS_LIMIT = 8
# Another range that no blank parts from the name before it.
_SWALLOWED = re.compile(rf"[0-9a-f]-{_HEX} : |[0-9a-f] ?: (?:{_NAMES})$")
# A line that ends inside of a range, before its name, or holds a part of a number only.
_BEGUN = re.compile(
    r"(?:(?<![0-9A-Za-z])[0-9a-f]{8,16}-[0-9a-f]{0,16}\s*:?|^[\s>|#*]*[0-9a-f]{1,15})\s*$"
)
# Kernels print at least eight digits, and no zero before more.
_PADDED = re.compile(r"[0-9a-f]{8}|[1-9a-f][0-9a-f]{8,15}")
_BARE_NAMES = {"".join(name.split()): name for name in RESOURCE_NAMES}
# As a kernel prints it, with a name that is not the start of another's.
_WHOLE = "|".join(
    re.escape(name)
    for bare, name in _BARE_NAMES.items()
    if not any(prefix.startswith(bare) for prefix in _BARE_NAMES if prefix != bare)
)
_PLAIN = re.compile(rf"( *)({_HEX})-({_HEX}) : ({_WHOLE})")
# The end of a line whose start is lost or damaged; a name of which one letter is.
_LEFT = re.compile(
    rf"[0-9a-f]{{1,16}}\W.{{0,8}}(?:{_NAMES})\s*$|[0-9a-f]{{4}}.{{0,12}}(?:{_NAMES})\s*$"
    rf"|{_HEX}-{_HEX}\s*:\s{{0,4}}:"
)
_LETTERS = re.compile("[^a-z]")
_LOST_SHARE = 0.85
# A name of /proc/iomem that differs by a letter.
_ALIKE = frozenset({"systemrom"})
# Where a driver has taken a range in use as RAM, it adds its name in parentheses
# (mm/memory_hotplug.c, add_memory_driver_managed(), 5.8 to 7.3).
_DRIVER_RAM = "System RAM ("

# What lists in quotes and editors put behind a name.
_AROUND = " \t\r\"',;|$"

# So many lines are listed, the rest is counted.
_SHOWN = 8

# IOAPIC_DEFAULT_PHYS_BASE: on a PC some line is always at or above it.
_LAST_EXPECTED = 0xFEC0_0000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    # One line: bytes first to last, both inclusive; indent in columns.
    indent: int
    first: int
    last: int
    name: str

    @property
    def kind(self) -> int | None:
        return type_of_resource(self.name)

    def holds(self, other: _Line) -> bool:
        return self.first <= other.first and other.last <= self.last

    def __str__(self) -> str:
        return f"[mem {self.first:#x}-{self.last:#x}] {self.name!r}"


# Lines in columns: of a file of a million each takes 22 bytes and no object.
class _Lines:
    def __init__(self) -> None:
        self._indents, self._names = array("H"), array("I")
        self._firsts, self._lasts = array("Q"), array("Q")
        self._known: dict[str, int] = {}

    def take(self, line: _Line) -> None:
        self._indents.append(min(line.indent, _INDENT_LIMIT))
        self._firsts.append(line.first)
        self._lasts.append(line.last)
        self._names.append(self._known.setdefault(line.name, len(self._known)))

    def __len__(self) -> int:
        return len(self._lasts)

    def __iter__(self) -> Iterator[_Line]:
        names = list(self._known)
        columns = zip(
            self._indents, self._firsts, self._lasts, self._names, strict=True
        )
        for indent, first, last, name in columns:
            yield _Line(indent=indent, first=first, last=last, name=names[name])

    def any_address(self) -> bool:
        return any(self._lasts)

    def called(self, holds: Callable[[str], bool]) -> Iterator[_Line]:
        names = {name for name in self._known if holds(name)}
        return (line for line in self if line.name in names)

    def named(self) -> Iterator[_Line]:
        return self.called(lambda name: type_of_resource(name) is not None)


def looks_like_iomem(text: str) -> bool:
    """Return whether the text has a line of the form of /proc/iomem."""
    return _RANGE.search(text) is not None


def read_iomem(text: str | Iterable[Piece], *, origin: str = "") -> MemoryMap:
    """Return the map that the lines with an e820 name form.

    Nesting is taken from the addresses, so that a file whose indentation was lost
    reads the same. A range inside one of the same name adds nothing and is left
    out; RAM that a driver added to the running kernel is no part of the firmware's
    map. Which names a kernel gives is e820_type_to_string() (arch/x86/kernel/e820.c);
    to 4.11 it also calls unknown types ``reserved``.

    Raises:
        BadImageError: no line has an e820 name, or all addresses are zero because
            the reader was not root.
    """
    lines, cut = _lines_of(clean_lines(text))
    _validate_shown(lines, origin)
    return MemoryMap(
        entries=table_of(
            (line.first, line.last - line.first + 1, line.kind or 0)
            for line in _forming(lines)
        ),
        origin=f"{origin} (/proc/iomem text)",
        notes=(*_cut(cut), *_notes(lines)),
    )


def named_ranges(text: str) -> list[tuple[int, int, str]]:
    """Return every line as ``(start, end, name)``, half-open bytes, in its order."""
    lines, _ = _lines_of(clean_lines(text))
    return [(line.first, line.last + 1, line.name) for line in lines]


# The lines, broken ones put together, and the numbers of those that cannot be read.
def _lines_of(source: Iterable[LogLine]) -> tuple[_Lines, list[int]]:
    lines = _Lines()
    cut: list[int] = []
    begun: LogLine | None = None
    for raw in source:
        line = raw
        if begun is None and (plain := _PLAIN.fullmatch(line.text)):
            lines.take(_plain(plain))
            continue
        if not line.text.strip():
            continue
        if begun is not None:
            whole = _joined(begun.text, line.text)
            if whole is not None:
                line = begun._replace(text=whole)
            else:
                _take(begun, lines, cut)
        begun = line if _is_begun(line.text) else None
        if begun is None:
            _take(line, lines, cut)
    if begun is not None:
        _take(begun, lines, cut)
    return lines, cut


def _plain(match: re.Match[str]) -> _Line:
    blanks, first, last, name = match.groups()
    return _Line(
        indent=len(blanks), first=int(first, 16), last=int(last, 16), name=name
    )


def _take(line: LogLine, lines: _Lines, cut: list[int]) -> None:
    ranges = list(_parsed(line))
    for span in ranges:
        lines.take(span)
    text = line.text
    begun = _BEGUN.search(text)
    is_left = _LEFT.search(text) if not ranges else _SWALLOWED.search(ranges[-1].name)
    is_damaged = any(span.kind is None and _nearly_known(span.name) for span in ranges)
    # Of a line that was joined to the next the name goes on with what stands there.
    is_damaged |= any(
        span.kind is None and _begins_nearly(span.name) for span in ranges[:-1]
    )
    if is_left or is_damaged or (begun and "-" in begun[0]):
        cut.append(line.number)


@lru_cache(maxsize=256)
def _nearly_known(name: str) -> bool:
    # A driver's name in parentheses behind it is no damage; nor is a name that only
    # begins so ("Reserved Memory"); a name that ends early is.
    bare = _LETTERS.sub("", name.lower())
    names = [_LETTERS.sub("", word.lower()) for word in RESOURCE_NAMES]
    if any(word.startswith(name) for word in RESOURCE_NAMES):
        return True
    return bare not in _ALIKE and any(
        abs(len(bare) - len(word)) <= 1
        and SequenceMatcher(None, bare, word).ratio() >= _LOST_SHARE
        for word in names
    )


def _begins_nearly(name: str) -> bool:
    lengths = {len(word) + more for word in RESOURCE_NAMES for more in (-1, 0, 1)}
    return any(_nearly_known(name[:length]) for length in lengths if length < len(name))


def _is_begun(text: str) -> bool:
    matches = list(_RANGE.finditer(text))
    if not matches:
        return _BEGUN.search(text) is not None
    bare = "".join(text[matches[-1].end() :].split())
    return any(name.startswith(bare) and name != bare for name in _BARE_NAMES)


# Two lines that are one: a range, and the name of a type or the start of any other.
def _joined(begun: str, text: str) -> str | None:
    matches = list(_RANGE.finditer(begun)) or list(_BEGUN.finditer(begun))
    since = matches[-1].start()
    for start in body_starts(text, begun[:since]):
        whole = begun.rstrip() + text[start:].rstrip()
        last = next(reversed(list(_RANGE.finditer(whole))), None)
        if last is None or last.start() > since + _BLANKS_LIMIT:
            continue
        if not all(map(_PADDED.fullmatch, last.group("first", "last"))):
            continue
        name = _BARE_NAMES.get("".join(whole[last.end() :].split()))
        if name is not None:
            return whole[: last.end()] + name
        if _LETTERS.sub("", whole[last.end() :].lower()) in _ALIKE:
            return whole
        if not _RANGE.search(begun) and not _RANGE.search(text):
            return whole
    return None


def _parsed(line: LogLine) -> Iterator[_Line]:
    text, since = line.text, 0
    matches = list(_RANGE.finditer(text))
    ends = [*(match.start() for match in matches[1:]), len(text)]
    for match, end in zip(matches, ends, strict=False):
        before = text[since : match.start()]
        blanks = before[len(before.rstrip()) :]
        name = text[match.end() : min(end, match.end() + _NAME_LIMIT)]
        # Behind a joined line stands the prefix of the next.
        word = next((word for word in RESOURCE_NAMES if name.startswith(word)), None)
        yield _Line(
            indent=len(blanks.expandtabs()),
            first=int(match["first"], 16),
            last=int(match["last"], 16),
            name=word if word and end < len(text) else name.strip(_AROUND),
        )
        since = end


def _cut(numbers: list[int]) -> Iterator[Finding]:
    if numbers:
        lines = ", ".join(map(str, numbers[:_SHOWN])) + ", ..." * (
            len(numbers) > _SHOWN
        )
        yield note(
            "line-cut",
            f"only pieces of {counted(len(numbers), 'line')} can be read, which the "
            f"map lacks: line {lines}",
        )


def _validate_shown(lines: _Lines, origin: str) -> None:
    if len(lines) and not lines.any_address():
        raise BadImageError(
            f"{origin!r}: {counted(len(lines), 'range')}, 00000000-00000000 each: the "
            "kernel hides addresses from readers without CAP_SYS_ADMIN, read it as root"
        )
    if not any(lines.named()):
        raise BadImageError(
            f"{origin!r}: none of {len(lines)} /proc/iomem lines has the name of an "
            "e820 type, such as 'System RAM'"
        )
    for line in lines.named():
        if line.last < line.first:
            raise BadImageError(f"{origin!r}: {line} ends before it starts")


def _forming(lines: _Lines) -> Iterator[_Line]:
    # The named ranges around the current line, outermost first.
    around: list[_Line] = []
    for line in lines.named():
        while around and not around[-1].holds(line):
            around.pop()
        if not around or around[-1].kind != line.kind:
            yield line
        around.append(line)


def _notes(lines: _Lines) -> Iterator[Finding]:
    yield from _ends(lines)
    driver = lines.called(lambda name: name.startswith(_DRIVER_RAM))
    first = next(driver, None)
    if first is not None:
        nr_ranges = 1 + sum(1 for _ in driver)
        yield note(
            "driver-ram",
            f"{counted(nr_ranges, 'range')} of RAM that a driver of the running kernel "
            f"added, no RAM of the firmware's map: first {first}",
        )
    flat = _flattened(lines)
    if flat is not None:
        yield note(
            "nesting-lost",
            f"{flat} lies inside the range before and is not indented: nesting was "
            "taken from the addresses",
        )


def _ends(lines: _Lines) -> Iterator[Finding]:
    start = next(iter(lines))
    if start.first != 0:
        yield note("start-cut", f"the first line is {start}: lines before it are cut")
    highest = max(lines, key=lambda line: line.last)
    if highest.last < _LAST_EXPECTED:
        yield note(
            "end-unseen",
            f"the highest line is {highest}, below the I/O APIC at "
            f"{_LAST_EXPECTED:#x}: the end is probably cut",
        )


def _flattened(lines: _Lines) -> _Line | None:
    for before, line in pairwise(lines):
        inside = before.holds(line) and (before.first, before.last) != (0, 0)
        if inside and line.indent <= before.indent and line.last != 0:
            return line
    return None
