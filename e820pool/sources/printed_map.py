"""Gather the maps that programs other than a Linux kernel print, a form at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError
from e820pool.extents import PAGE_SHIFT
from e820pool.findings import counted
from e820pool.memory_map import MemoryMap
from e820pool.sources.oddities import note
from e820pool.type_words import TYPE_WITHOUT_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from e820pool.findings import Finding
    from e820pool.range_lists import Row, StartCount
    from e820pool.sources.log_text import LogLine

__all__ = (
    "BARE_START",
    "HEX",
    "HEX_BEGUN",
    "RANGE_BEGUN",
    "PrintedForm",
    "PrintedMap",
    "begun_pattern",
    "choose_map",
    "cut_lines",
    "line_numbers",
    "map_of_printed",
    "printed_maps",
    "rests_of",
)

HEX = "[0-9a-fA-F]{16}"
"""A pattern of an address in full."""

HEX_BEGUN = "[0-9a-fA-F]{0,15}"
"""A pattern of the beginning of one."""

RANGE_BEGUN = ((HEX, HEX_BEGUN), ("-", ""), (HEX, HEX_BEGUN))
"""The parts of ``FIRST-LAST``, for :func:`begun_pattern`."""

BARE_START = (
    rf"(?:(?<![0-9a-zA-Z-])(?={HEX}\s*(?:-|$)|0[0-9a-fA-F]{{6,14}}$)"
    r"|(?:^|(?<=[\]>|] ))(?=0[0-9a-fA-F]{0,14}$))"
)
"""A pattern of where an entry may begin that has no word before its range."""

_WRAP = 1 << 64
# Lines without an entry after which a map has ended; other messages come between.
_FOREIGN_LIMIT = 200
# A log of many boots or loads has fewer maps.
_MAPS_LIMIT = 1 << 12
# How near to the first entry of a map without a headline a line belongs to it.
_NEAR = 8
# An entry is put together from at most so many lines.
_JOIN_LIMIT = 6
_NUMBERS_SHOWN = 8

# What mail, comments and loggers put before a line that goes on with an entry.
_BEFORE = (
    re.compile(r"[\s>|#*]*"),
    re.compile(r"[^\n]{0,120}?\(XEN\) ?(?:\[[^\]]{1,24}\] ?)?"),
    re.compile(r"[^\n]{0,120}?kernel: ?(?:\[ *\d+\.\d+\] ?)?"),
    re.compile(r"[\s>|#*]*\[ *\d+\.\d+\] ?"),
)
_DIGITS = re.compile(r"[0-9a-f]")
# The numbers of a line, and how many digits of them a damaged entry may have lost. Only
# where entries print addresses to their full width does their length tell them.
_NUMBERS = re.compile(r"[0-9a-fA-F]{4,}(?!\w{0,8}[KMGT]i?B)")
_WIDE_DIGITS = 28
_DIGITS_LOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedForm:
    """How one program prints a memory map.

    Attributes:
        name: what it is, for people.
        signs: a text without any of these has no such map.
        hints: a line without any of these neither opens such a map nor holds an entry.
        headline: what stands above the map; a group ``title`` names it, ``count`` says
            how many entries follow. None where nothing does.
        entry: one whole entry. Groups: ``addr`` with ``last`` (inclusive) or ``size``,
            or ``start`` with ``end`` (exclusive); ``words``; ``number`` if entries
            are counted; ``pages`` if their size is printed beside them. Addresses and
            pages are hexadecimal.
        begun: the beginning of an entry up to the end of a line.
        like: what looks like a part of an entry, where no whole one is.
        type_of: the e820 type of a match, None for words that are not known.
        counted: whether ``number`` counts from 0, so that one that lacks is noticed.
        is_machine: whether the map is the machine's where a kernel's in the same text
            is not.
        about: what is to be known of such a map, as a note.
    """

    name: str
    hints: tuple[str, ...]
    entry: re.Pattern[str]
    begun: re.Pattern[str]
    like: re.Pattern[str]
    type_of: Callable[[re.Match[str]], int | None]
    signs: tuple[str, ...] = ()
    headline: re.Pattern[str] | None = None
    counted: bool = False
    is_machine: bool = False
    about: Callable[[PrintedMap], Iterator[Finding]] | None = None


@dataclass(slots=True, kw_only=True)
class PrintedMap:
    """One printed map, gathered while a text is read.

    Attributes:
        title: its headline, "" without one.
        count: how many entries the headline promises, None if it does not.
        first_line: number of the headline, or of the first entry.
        rows: ``(addr, size, type)``; a size that reaches 2^64 is kept.
        numbers: the number that each entry is printed with, if any.
        odd_words: words that are no type, with their line.
        cut: numbers of lines that begin as an entry and hold no whole one.
        changes: what transport had done to the lines.
    """

    form: PrintedForm
    title: str = ""
    count: int | None = None
    first_line: int = 0
    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    odd_words: list[tuple[str, int]] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    changes: set[str] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        """Return whether nothing shows that an entry is missing."""
        return bool(self.rows) and not self.cut and not self.missing()

    def missing(self) -> list[int]:
        """Return the numbers, from 0, that no entry is printed with."""
        if not self.form.counted:
            return []
        most = max(self.numbers, default=-1) + 1
        # A number is at most some digits long; one that is absurd is no count.
        expected = range(min(max(most, self.count or 0), 1 << 16))
        return sorted(set(expected) - set(self.numbers))

    def __str__(self) -> str:
        title = f", {self.title!r}" if self.title else ""
        return (
            f"{self.form.name} ({counted(len(self.rows), 'entry')}, from line "
            f"{self.first_line}{title})"
        )


def begun_pattern(start: str, *parts: tuple[str, str]) -> re.Pattern[str]:
    """Return the pattern of an entry's beginning, up to the end of a line.

    Args:
        start: what must be there.
        parts: what follows, each as (the whole part, a beginning of it).
    """
    pattern = r"\s*$"
    for whole, beginning in reversed(parts):
        pattern = rf"\s*(?:(?:{beginning})$|(?:{whole}){pattern})"
    return re.compile(start + pattern)


def printed_maps(
    lines: Iterable[LogLine], forms: Sequence[PrintedForm]
) -> list[PrintedMap]:
    """Return the maps of these forms that a text has, in the order of their forms.

    Raises:
        BadImageError: there are absurdly many.
    """
    readers = [_FormReader(form) for form in forms]
    for line in lines:
        for reader in readers:
            reader.take(line)
    return [printed for reader in readers for printed in reader.finished()]


class _FormReader:
    # The state of one reading: the map that is open, an entry that may go on.

    def __init__(self, form: PrintedForm) -> None:
        self.form = form
        self.maps: list[PrintedMap] = []
        self.is_open = False
        self.foreign = 0
        # Lines that are cut where no map is open: they count if one opens soon.
        self.maybe: list[int] = []
        # The line before, which is no entry and stands beside one if the next is; the
        # digits that the last entry's line had.
        self.beside: LogLine | None = None
        self.digits = 0
        # The text of an entry that has begun, its line, what stood before it, in how
        # many lines it was so far.
        self.pending: tuple[str, LogLine, str, int] | None = None

    def take(self, line: LogLine) -> None:
        text, before = line.text, ""
        if self.pending is not None:
            joined = self._joined(line, *self.pending)
            if joined is not None:
                # The line is the rest of an entry; what follows in it may be more.
                before, line, text = joined
        if not self.is_open and not any(hint in text for hint in self.form.hints):
            self.beside = None
            return
        self._entries(line, text, self._open(line, text), before)

    def finished(self) -> list[PrintedMap]:
        self._give_up()
        return [printed for printed in self.maps if printed.rows or printed.cut]

    def _open(self, line: LogLine, text: str) -> int:
        match = self.form.headline.search(text) if self.form.headline else None
        if match is None:
            return 0
        fields = match.groupdict()
        count = fields.get("count")
        if self.maps and not self.maps[-1].rows and not self.maps[-1].cut:
            self.maps.pop()
        if len(self.maps) >= _MAPS_LIMIT:
            raise BadImageError(
                f"line {line.number}: more than {_MAPS_LIMIT:#x} times "
                f"{self.form.name}, the limit"
            )
        self.maps.append(
            PrintedMap(
                form=self.form,
                title=(fields.get("title") or "").strip(),
                count=int(count) if count else None,
                first_line=line.number,
            )
        )
        self.is_open, self.foreign = True, 0
        return match.end()

    def _entries(self, line: LogLine, text: str, at: int, before: str) -> None:
        seen, form = at > 0, self.form
        lines = self.pending[3] + 1 if self.pending is not None else 1
        self.pending = None
        for match in form.entry.finditer(text, at):
            at, between, seen = match.end(), text[at : match.start()], True
            if form.like.search(between):
                self._cut(line)
            if self._is_known(match) or text[at:].strip():
                self._add(line, match)
            else:
                # Words of two parts may go on in the next line.
                start = text[: match.start()] or before
                self.pending = (text[match.start() :], line, start, lines)
        begun = form.begun.search(text, at) if self.pending is None else None
        if begun is not None:
            start = text[: begun.start()] or before
            self.pending = (text[begun.start() :], line, start, lines)
        elif form.like.search(text, at):
            self._cut(line)
        elif not seen and self.pending is None:
            self._pass_by(line)
            return
        self.foreign = 0

    # A line that is none of the form's: or an entry so damaged that it does not look
    # so, which is told by its numbers and by what stands beside it.
    def _pass_by(self, line: LogLine) -> None:
        if not line.text.strip():
            return
        if self.is_open and self.foreign == 0 and self._resembles(line):
            self._cut(line)
            return
        self.foreign += 1
        self.is_open = self.is_open and self.foreign <= _FOREIGN_LIMIT
        self.beside = line

    def _resembles(self, line: LogLine) -> bool:
        lost = self.digits - _nr_digits(line.text)
        return self.digits >= _WIDE_DIGITS and abs(lost) <= _DIGITS_LOST

    def _is_known(self, match: re.Match[str]) -> bool:
        return self.form.type_of(match) is not None

    def _cut(self, line: LogLine) -> None:
        if self.is_open or self.form.headline is None:
            self._map(line).cut.append(line.number)
        else:
            self.maybe = [*self.maybe[-_NEAR:], line.number]

    def _map(self, line: LogLine) -> PrintedMap:
        if not self.is_open or not self.maps:
            self.maps.append(PrintedMap(form=self.form, first_line=line.number))
            near = [number for number in self.maybe if line.number - number <= _NEAR]
            self.maps[-1].cut += near
            self.is_open = True
        return self.maps[-1]

    def _add(self, line: LogLine, match: re.Match[str]) -> None:
        row = _row(match)
        if row is not None and self._restarts(row, match):
            self.is_open = False
        owner = self._map(line)
        self.digits = _nr_digits(line.text)
        if self.beside is not None and self._resembles(self.beside):
            owner.cut.append(self.beside.number)
        self.beside = None
        if row is None:
            owner.cut.append(line.number)
            return
        kind, fields = self.form.type_of(match), match.groupdict()
        if kind is None:
            owner.odd_words.append(
                ((fields.get("words") or "").strip()[:40], line.number)
            )
        owner.rows.append((*row, TYPE_WITHOUT_NUMBER if kind is None else kind))
        if fields.get("number") is not None:
            owner.numbers.append(int(fields["number"]))
        owner.changes |= line.changes
        self.is_open = owner.count is None or len(owner.rows) < owner.count

    # Whether an entry is the first of another boot's map, where no headline says so.
    def _restarts(self, row: StartCount, match: re.Match[str]) -> bool:
        if not self.is_open or not self.maps or len(self.maps[-1].rows) < 2:
            return False
        fields, printed = match.groupdict(), self.maps[-1]
        if fields.get("number") is not None:
            return int(fields["number"]) == 0
        return row == printed.rows[0][:2] and row[0] < printed.rows[-1][0]

    # The entry that has begun with what a line adds to it, as (what stood before it,
    # the line where it began, its text so far); None, and it is given up, if the line
    # does not go on with it.
    def _joined(
        self, line: LogLine, text: str, first: LogLine, before: str, lines: int
    ) -> tuple[str, LogLine, str] | None:
        for tail in rests_of(line.text, before) if lines < _JOIN_LIMIT else ():
            for whole in (text + tail, f"{text.rstrip()} {tail}"):
                match = self.form.entry.match(whole)
                if match and match.end() > len(text.rstrip()) and self._is_known(match):
                    changes = first.changes | line.changes | {"wrapped line"}
                    return before, first._replace(changes=changes), whole
        for tail in rests_of(line.text, before) if lines < _JOIN_LIMIT else ():
            # Still no whole entry: more lines of it may follow.
            if tail.strip() and self.form.begun.match(text + tail):
                return before, first, text + tail
        self._give_up()
        return None

    def _give_up(self) -> None:
        if self.pending is None:
            return
        text, line, _, _ = self.pending
        self.pending = None
        match = self.form.entry.match(text)
        if match is not None:
            self._add(line, match)
        else:
            self._cut(line)


def _nr_digits(text: str) -> int:
    return sum(len(number) for number in _NUMBERS.findall(text))


def rests_of(text: str, before: str) -> list[str]:
    """Return a line without what a logger put before it, the most likely first.

    Args:
        text: the line.
        before: what stood before the entry that may go on; as much is taken away, if
            it looks alike.
    """
    rests = []
    width = len(before)
    if before and _DIGITS.sub("0", text[:width]) == _DIGITS.sub("0", before):
        rests.append(text[width:])
    for pattern in _BEFORE:
        match = pattern.match(text)
        if match is not None:
            rests.append(text[match.end() :])
    return list(dict.fromkeys(rests))


def _row(match: re.Match[str]) -> StartCount | None:
    # What programs print wraps at 2^64, so that a size comes back modulo 2^64: an
    # empty entry has its last byte below its first.
    fields = match.groupdict()
    if fields.get("start") is not None:
        addr = int(fields["start"], 16)
        size = (int(fields["end"], 16) - addr) % _WRAP
    elif fields.get("size") is not None:
        addr, size = int(fields["addr"], 16), int(fields["size"], 16)
    else:
        addr = int(fields["addr"], 16)
        size = (int(fields["last"], 16) + 1 - addr) % _WRAP
    pages = fields.get("pages")
    if pages is not None and int(pages, 16) << PAGE_SHIFT != size:
        return None
    # Beyond half of the address space it is a range whose end lies before its start.
    return None if size >= _WRAP >> 1 else (addr, size)


def choose_map(maps: Sequence[PrintedMap]) -> tuple[PrintedMap, list[Finding]]:
    """Return the last whole map of some of one form, or the last, and a note of which.

    A form prints one map a boot, or a load.
    """
    having = [printed for printed in maps if printed.rows] or list(maps)
    whole = (printed for printed in reversed(having) if printed.is_whole)
    chosen = next(whole, having[-1])
    if len(having) == 1:
        return chosen, []
    same = all(printed.rows == chosen.rows for printed in having)
    message = (
        f"the text has {len(having)} such maps{', all the same' if same else ''}: read "
        f"was number {having.index(chosen) + 1}, from line {chosen.first_line}"
    )
    return chosen, [note("several-boots", message)]


def map_of_printed(printed: PrintedMap, origin: str) -> MemoryMap:
    """Return the map, with notes of what is cut or odd in it.

    Raises:
        BadImageError: it has no whole entry.
    """
    if not printed.rows:
        raise BadImageError(
            f"{origin!r} has {printed.form.name} with 0 whole entries: "
            f"{line_numbers(printed.cut)} begin as an entry and are cut"
        )
    title = f", {printed.title!r}" if printed.title else ""
    return MemoryMap(
        entries=table_of(printed.rows),
        origin=f"{origin} ({printed.form.name}{title})",
        notes=tuple(_notes(printed)),
    )


def _notes(printed: PrintedMap) -> Iterator[Finding]:
    if printed.form.about is not None:
        yield from printed.form.about(printed)
    if printed.form.headline is not None and not printed.title:
        yield note(
            "no-headline",
            f"no headline above line {printed.first_line}: the start of the map may "
            "be cut",
        )
    yield from cut_lines(printed.cut)
    missing = printed.missing()
    if missing:
        shown = ", ".join(map(str, missing[:_NUMBERS_SHOWN]))
        more = ", ..." * (len(missing) > _NUMBERS_SHOWN)
        yield note(
            "entries-missing",
            f"{counted(len(missing), 'entry')} missing: none has the number "
            f"{shown}{more}",
        )
    elif printed.count is not None and printed.count != len(printed.rows):
        yield note(
            "entries-missing",
            f"the headline says {counted(printed.count, 'entry')}, here are "
            f"{len(printed.rows)}",
        )
    if printed.odd_words:
        words, line = printed.odd_words[0]
        yield note(
            "unknown-words",
            f"{counted(len(printed.odd_words), 'entry')} with words that are no "
            "type: first "
            f"{words!r} in line {line}; not taken for RAM",
        )
    if printed.changes:
        yield note(
            "decorated", f"lines were cleaned of {', '.join(sorted(printed.changes))}"
        )


def cut_lines(cut: Sequence[int]) -> Iterator[Finding]:
    """Yield the note of lines that begin as an entry and hold no whole one."""
    if cut:
        yield note(
            "line-cut",
            f"{line_numbers(cut)} with the beginning of an entry and no whole one: "
            "the map lacks what they said",
        )


def line_numbers(numbers: Sequence[int]) -> str:
    """Return how many lines these are, and which, as far as they fit into a line."""
    shown = ", ".join(map(str, numbers[:_NUMBERS_SHOWN]))
    more = ", ..." * (len(numbers) > _NUMBERS_SHOWN)
    return f"{counted(len(numbers), 'line')} ({shown}{more})"
