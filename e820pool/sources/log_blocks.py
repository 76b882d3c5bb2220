"""Gather the entries of a kernel log into the maps of each boot."""

from __future__ import annotations

import re
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from e820pool.abi.e820 import E820_DTYPE
from e820pool.extents import ByteRangeSet
from e820pool.sources.log_edits import (
    AFTER_MAP,
    LaterEdit,
    after_map_start,
    after_map_state,
    edit_of,
    is_surely_edit,
)
from e820pool.sources.log_entry import (
    HEAD,
    HEADLINE,
    BlockName,
    LogEntry,
    begins_entry,
    begun_head,
    block_of_headline,
    block_of_who,
    body_starts,
    entry_state,
    fragments,
    is_surely_entry,
    parse_entry,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator
    from typing import Any

    from numpy.typing import NDArray

    from e820pool.range_lists import StartEnd
    from e820pool.sources.log_text import LogLine

__all__ = ("CutEntry", "LogBlock", "LogEntries", "LoggedBoot", "boots_of")

# A line without any of these is of no interest, unless it stands near to one that
# is. Looking for each in turn is several times faster than one pattern of them all,
# and most lines of a log have none.
_HINTS = (
    *("e820", "BIOS-", "RAM map", "setup_data:", "user:", "modified", "extended"),
    *("Xen:", "LGUEST:", "Linux version ", "ntries", "table full", "-defined"),
    *("last_pfn", "econdary CPUs", "Booting SMP", "physical", "ommand line:"),
    *("SRAT: ", " ==> ", "aperture over", "bad mem addr"),
)
# So many lines after a piece of a map are looked at without a hint, since a broken
# line has none: an entry that is broken at every sixth column has as many.
_NEAR = 16
# An entry is put together from no more lines, in no more ways at a time.
_LINES_JOINED = 16
_WAYS_LIMIT = 4
# Of a line that may go on with an entry so much is looked at: a log has no longer one.
_BODY_LIMIT = 400

# What a line can say, in the order in which it stands there: transports put several
# lines on one. "Ooops! Too many entries in the memory map!" to 3.4; "too many entries;
# ignoring [mem ..]" to 6.19; "E820 table full; ignoring [mem ..]" since 7.0. The SRAT's
# memory: "hot plug zone found A - B", an exclusive end, in 2.6; " Hot Pluggable" behind
# the range in the 3.9 era; " hotplug" since (drivers/acpi/numa/srat.c
# acpi_numa_memory_affinity_init()).
_HEX = "[0-9a-fA-F]{1,16}"
_EVENT = re.compile(
    rf"(?P<banner>(?<![\w-])Linux version (?P<release>[0-9]\S{{0,80}}))"
    rf"|{HEADLINE}"
    rf"|{AFTER_MAP}"
    rf"|(?P<dropped>[Tt]oo many entries(?: in the memory map|; ignoring)"
    r"|E820 table full; ignoring)"
    r"|(?P<smp>Bringing up secondary CPUs|Booting SMP configuration)"
    r"|(?P<cmdline>ommand line:)"
    r"|(?P<srat>SRAT: )(?:Node [0-9]{1,10} PXM [0-9]{1,10} "
    rf"\[mem 0x(?P<near>{_HEX})-0x(?P<far>{_HEX})\] (?:hotplug|Hot Pluggable)"
    rf"|hot plug zone found (?P<zone>{_HEX}) - (?P<zone_end>{_HEX}))"
    rf"|{HEAD}"
)
# What the hypervisor prints of its own map is no piece of a kernel's.
_HYPERVISOR = "(XEN)"
# What the command line of a capture kernel has, and what stands before one: the first
# is said before the map, the other after it. Another message has a colon.
_CAPTURES = "elfcorehdr="
_BEFORE_CMDLINE = re.compile(r"(?:Kernel c|(?P<early>C))$")
_MESSAGE = re.compile(r":(?:\s|$)")
# What mail, comments and markup put before a line.
_QUOTED = re.compile(r"\s*[>|#*]")
# What goes on behind the last entry of a line is another message.
_MORE = re.compile(r"\w\w")
_NUMBER_AT_END = re.compile(r"\btype\s*[0-9]{1,9}$")
_NUMBER = re.compile(r"[0-9]{1,9}\s*")


class CutEntry(NamedTuple):
    """A line on which a piece of an entry stands that cannot be read.

    Attributes:
        line: its number.
        block: the map it belongs to, None where that is not known.
    """

    line: int
    block: BlockName | None


class LogEntries(Sequence[LogEntry]):
    """The entries of a printed map, in their order.

    A map may have a million: numbers are in columns, and what many entries share is
    held once.

    Attributes:
        shared: entries that differ in more than their numbers, in the order in which
            each came first.
        kinds: for each entry, which of those it is like.
    """

    def __init__(self) -> None:
        self._addrs, self._sizes, self.kinds = array("Q"), array("Q"), array("L")
        self.shared: list[LogEntry] = []
        self._known: dict[tuple[object, ...], int] = {}

    def append(self, entry: LogEntry) -> None:
        """Add an entry at the end."""
        words = entry.words, entry.has_words, entry.dialects
        key = (entry.type, entry.who, entry.block, *words)
        kind = self._known.setdefault(key, len(self.shared))
        if kind == len(self.shared):
            self.shared.append(entry)
        self._addrs.append(entry.addr)
        self._sizes.append(entry.size)
        self.kinds.append(kind)

    def __len__(self) -> int:
        return len(self.kinds)

    @overload
    def __getitem__(self, at: int) -> LogEntry: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[LogEntry]: ...
    def __getitem__(self, at: int | slice) -> LogEntry | Sequence[LogEntry]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        alike = self.shared[self.kinds[at]]
        return replace(alike, addr=self._addrs[at], size=self._sizes[at])

    def key(self) -> Hashable:
        """Return what is equal for equal entries in the same order."""
        columns = (self._addrs, self._sizes, self.kinds)
        return (*(column.tobytes() for column in columns), *self._known)

    def first_with(self, kind: int) -> int:
        """Return the number of the first entry that is like ``shared[kind]``."""
        return self.kinds.index(kind)

    def table(self) -> NDArray[Any]:
        """Return the entries that are no gap lines, E820_DTYPE."""
        types = [entry.type for entry in self.shared]
        kinds = np.asarray(self.kinds)
        is_range = np.array([kind is not None for kind in types], np.bool_)[kinds]
        values = np.array([kind or 0 for kind in types], np.uint32)
        table = np.empty(int(is_range.sum()), E820_DTYPE)
        table["addr"] = np.asarray(self._addrs)[is_range]
        table["size"] = np.asarray(self._sizes)[is_range]
        table["type"] = values[kinds[is_range]]
        return table


@dataclass(slots=True, kw_only=True)
class LogBlock:
    """One printed map, gathered while a log is read.

    Attributes:
        entries: ranges and gap lines in their order.
        lines: the line number of each entry.
        has_header: whether the kernel's headline stood before it.
        changes: what transport had done to its lines.
        last_pfn: the end of RAM that the kernel named next, before another map.
        is_followed: whether the log goes on after its last line.
    """

    name: BlockName
    has_header: bool
    entries: LogEntries = field(default_factory=LogEntries)
    lines: array[int] = field(default_factory=lambda: array("Q"))
    changes: set[str] = field(default_factory=set)
    last_pfn: int | None = None
    is_followed: bool = False

    @property
    def first_range(self) -> LogEntry | None:
        """Return what the first entry that is no gap line looks like; None if none."""
        return next((e for e in self.entries.shared if e.type is not None), None)

    def restarts_with(self, entry: LogEntry) -> bool:
        """Return whether ``entry`` is the first one once more: another boot's.

        Only where no headline stands above: the next boot would have one as well,
        and a table that a kernel could not sanitise may repeat an entry.
        """
        return (
            not self.has_header
            and len(self.entries) > 1
            and entry.addr < self.entries[-1].addr
            and entry == self.entries[0]
        )


@dataclass(slots=True, kw_only=True)
class LoggedBoot:
    """What one boot printed.

    Attributes:
        first_line: number of the line with the banner, or of what was seen first.
        release: of the kernel, "" where its banner is not there.
        is_capture: a crashed kernel started it (``elfcorehdr=``, kdump): what it
            calls its memory is a corner that was kept for it.
        blocks: the last map of each name.
        dropped: numbers of the lines that say a table was full.
        cut: what looks like an entry and cannot be read.
        edits: what the kernel did to its table after its first map.
        has_hole: the log reaches the start of other CPUs without ``last_pfn``, which
            every kernel prints before: lines are missing.
        hotplug: bytes ``[start, end)`` that the SRAT calls hot-pluggable. None listed
            does not mean that there is none: some kernels do not print the words.
    """

    first_line: int = 0
    release: str = ""
    is_capture: bool = False
    blocks: dict[BlockName, LogBlock] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    cut: list[CutEntry] = field(default_factory=list)
    edits: list[LaterEdit] = field(default_factory=list)
    has_hole: bool = False
    hotplug: list[StartEnd] = field(default_factory=list)


def boots_of(lines: Iterable[LogLine]) -> list[LoggedBoot]:
    """Return the boots of a log that printed a map or began one, in order."""
    gather = _Gather(lines)
    gather.run()
    return [boot for boot in gather.boots if boot.blocks or boot.cut]


def _has_hint(text: str) -> bool:
    for hint in _HINTS:  # noqa: SIM110  twice as fast as any()
        if hint in text:
            return True
    return False


class _Joined(NamedTuple):
    # A text that was put together, of how many lines after the first, and where it
    # ends in the last of them.
    text: str
    nr_lines: int
    end: int


class _Gather:
    # The state of one reading: which boot, which map, how far from its last piece.

    def __init__(self, lines: Iterable[LogLine]) -> None:
        self.lines = iter(lines)
        self.ahead: deque[LogLine] = deque()
        self.boots = [LoggedBoot()]
        self.block: LogBlock | None = None
        self.header: BlockName | None = None
        self.near = 0
        self.prefix = ""
        self.who = ""
        # The next boot's command line, which is said before anything else of it.
        self.is_capture_next = False
        self.seen_pfn = False
        self.cut_before = 0
        self.maps: dict[Hashable, LogEntries] = {}

    @property
    def boot(self) -> LoggedBoot:
        return self.boots[-1]

    def run(self) -> None:
        while (line := self._next()) is not None:
            text = line.text
            if not text or text.isspace():
                continue
            if self.block is not None:
                self.block.is_followed = True
            if self.near:
                self.near -= 1
                self._read(line)
            elif _has_hint(text) or self._is_before_hint():
                self._read(line)

    def _next(self) -> LogLine | None:
        return self.ahead.popleft() if self.ahead else next(self.lines, None)

    # What names a map may be broken, so that the hint is on the second line of it.
    def _is_before_hint(self) -> bool:
        if not self.ahead:
            line = next(self.lines, None)
            if line is None:
                return False
            self.ahead.append(line)
        return _has_hint(self.ahead[0].text)

    # The lines after the current one that are not blank, as far as is looked.
    def _following(self) -> Iterator[LogLine]:
        at = 0
        for _ in range(_LINES_JOINED):
            while True:
                if at == len(self.ahead):
                    line = next(self.lines, None)
                    if line is None:
                        return
                    self.ahead.append(line)
                at += 1
                if self.ahead[at - 1].text.strip():
                    break
                if at > 4 * _LINES_JOINED:
                    return
            yield self.ahead[at - 1]

    def _read(self, line: LogLine) -> None:
        line = self._with_rest(line)
        events = list(_EVENT.finditer(line.text))
        spans: list[StartEnd] = []
        stops = [*(event.start() for event in events[1:]), len(line.text)]
        for event, stop in zip(events, stops, strict=False):
            if event["who"] is not None:
                span = self._entry(line, event, stop, events[0].start())
                spans += [span] if span else []
            else:
                if self.block is not None:
                    self.block.is_followed = True
                self._tell(line, event, stop)
                spans.append((event.start(), stop))
        if not events or not spans:
            self._begin(line)
        elif self.block is not None and _MORE.search(line.text, spans[-1][1]):
            self.block.is_followed = True
        if "RAM map" in line.text and not self.near:
            # The end of a headline that was broken.
            self.near = _NEAR
        if self.near and _HYPERVISOR not in line.text:
            self._look_for_fragments(line, spans)

    # An entry, whole or broken; where it stands in the line, if it is one.
    def _entry(
        self, line: LogLine, head: re.Match[str], stop: int, first: int
    ) -> StartEnd | None:
        start, is_last = head.start(), stop == len(line.text)
        prefix = line.text[:first]
        text = line.text[start : min(stop, start + _BODY_LIMIT)]
        parsed = parse_entry(text, prefix)
        is_read = parsed is not None and parsed[0].is_read
        joined = None
        if is_last and (not is_read or _ends_in_number(text)):
            joined = self._joined(text, prefix)
        if parsed and is_read and joined is None:
            self._add(line, parsed[0], prefix)
            return start, start + parsed[1]
        if joined is not None and (whole := parse_entry(joined.text)) is not None:
            self._add(line, whole[0], prefix, "wrapped line")
            self._consume(joined)
        elif parsed:
            self._add(line, parsed[0], prefix)
        elif is_surely_entry(text) or self._was_entry(text, head["who"], is_last):
            self._cut(line.number, block_of_who(head["who"]))
        else:
            return None
        return start, stop

    # Among the entries of a map a line with their name is one, or was.
    def _was_entry(self, text: str, who: str, is_last: bool) -> bool:
        expected = self.header is not None and block_of_who(who) == self.header
        is_named = expected or who == self.who or who.startswith("BIOS-")
        talks = who in ("e820", "Xen", "LGUEST")  # these begin other messages as well
        begun = is_last and begins_entry(text)
        return bool(self.near) and (begun or (is_named and not talks))

    # What a line starts, put together with what the next lines say of it.
    def _joined(self, text: str, prefix: str) -> _Joined | None:
        if len(text) > _BODY_LIMIT or entry_state(text) == "other":
            return None
        ways = [text.rstrip().removesuffix("=20")]
        joined: _Joined | None = None
        if entry_state(text) == "whole":
            joined = _Joined(ways[0], 0, len(text))
        for nr_lines, line in enumerate(self._following(), 1):
            body = line.text[:_BODY_LIMIT]
            if joined is not None:
                joined = _with_digits(joined, body, prefix)
                break
            ways, joined = _ways_on(ways, body, prefix, nr_lines)
            if joined is not None and not _ends_in_number(joined.text):
                return joined
            if joined is None and not ways:
                return None
        return joined if joined is not None and joined.nr_lines else None

    # A line that ends inside of an edit, with the rest of that.
    def _with_rest(self, line: LogLine) -> LogLine:
        at = after_map_start(line.text)
        if at is None:
            return line
        prefix, ways = line.text[:at], [line.text[at:].rstrip().removesuffix("=20")]
        for nr_lines, follow in enumerate(self._following(), 1):
            body = follow.text[:_BODY_LIMIT]
            more = [
                way.rstrip() + body[start:]
                for way in ways
                for start in body_starts(body, prefix)
            ]
            for text in more:
                if after_map_state(text) == "whole":
                    whole = prefix + text + follow.text[_BODY_LIMIT:]
                    self._consume(_Joined(whole, nr_lines, len(follow.text)))
                    return line._replace(text=whole)
            ways = [text for text in more if after_map_state(text) == "begun"]
            ways = list(dict.fromkeys(ways))[:_WAYS_LIMIT]
            if not ways:
                break
        event = _EVENT.match(line.text, at)
        if is_surely_edit(line.text[at:]) and (event is None or not event["edit"]):
            self._cut(line.number, None)
        return line

    def _consume(self, joined: _Joined) -> None:
        # Blank lines among them are consumed as well.
        count = 0
        while count < joined.nr_lines:
            line = self.ahead.popleft()
            count += bool(line.text.strip())
        tail = line.text[joined.end :]
        if tail.strip():
            self.ahead.appendleft(line._replace(text=tail))

    # A line that ends inside of a name or of a headline.
    def _begin(self, line: LogLine) -> None:
        at = begun_head(line.text, self.who)
        prefix = line.text[:at]
        joined = None if at is None else self._joined(line.text[at:], prefix)
        if joined is None:
            return
        parsed = parse_entry(joined.text)
        headline = re.match(HEADLINE, joined.text)
        if parsed:
            self._add(line, parsed[0], prefix, "wrapped line")
        elif headline:
            self._open_headline(line, headline["map_name"])
        self._consume(joined)

    def _look_for_fragments(self, line: LogLine, spans: list[StartEnd]) -> None:
        for start, end in fragments(line.text[:_BODY_LIMIT]):
            if not any(start < until and since < end for since, until in spans):
                # The end of an entry whose start was counted on the line before.
                if self.cut_before:
                    self.cut_before = 0
                else:
                    name = self.block.name if self.block else self.header
                    self.boot.cut.append(CutEntry(line.number, name))
                return
        if not spans:
            self.cut_before = 0

    def _cut(self, number: int, block: BlockName | None) -> None:
        self.boot.cut.append(CutEntry(number, block))
        self.cut_before = number
        self.near = _NEAR

    # What is no entry and tells something of the map.
    def _tell(self, line: LogLine, event: re.Match[str], stop: int) -> None:
        boot = self.boot
        if event["map_name"] is not None:
            self._open_headline(line, event["map_name"])
        elif event["banner"] is not None:
            self._banner(line, event["release"])
        elif event["pfn"] is not None:
            self._last_pfn(int(event["pfn"], 16))
        elif event["cmdline"] is not None:
            self._command_line(line, event, stop)
        elif event["srat"] is not None:
            _note_srat(boot, event)
        elif event["dropped"] is not None:
            boot.dropped.append(line.number)
        elif event["smp"] is not None:
            boot.has_hole |= "bios" in boot.blocks and not self.seen_pfn
        elif boot.blocks:
            edit = edit_of(event, line.text[event.end() : stop], line.number)
            boot.edits += [edit] if edit is not None else []

    def _open_headline(self, line: LogLine, map_name: str) -> None:
        header = block_of_headline(map_name)
        if header == "bios" and "bios" in self.boot.blocks:
            self._next_boot()
        self._begin_boot(line)
        self.header, self.block = header, None
        self.near = _NEAR

    def _banner(self, line: LogLine, release: str) -> None:
        if self.boot.blocks or self.boot.cut:
            self._next_boot()
        self.boots[-1] = LoggedBoot(first_line=line.number, release=release)
        self.header = self.block = None
        self.is_capture_next = self.seen_pfn = False

    # Transports may have wrapped it, which is the longest line of a boot. Where the
    # banner was lost an early one after a map is the next boot's.
    def _command_line(self, line: LogLine, event: re.Match[str], stop: int) -> None:
        before = _BEFORE_CMDLINE.search(line.text, 0, event.start())
        prefix = line.text[: before.start() if before else event.start()]
        cmdline = line.text[event.end() : stop]
        for follow in self._following() if stop == len(line.text) else ():
            body = follow.text[next(body_starts(follow.text, prefix, like=True)) :]
            if _MESSAGE.search(body):
                break
            cmdline += body.strip()
        is_capture = _CAPTURES in cmdline
        if self.boot.blocks and before is not None and before["early"]:
            self.is_capture_next = is_capture
        else:
            self.boot.is_capture |= is_capture

    def _last_pfn(self, pfn: int) -> None:
        self.seen_pfn = True
        blocks = list(self.boot.blocks.values())
        if not blocks or blocks[-1].last_pfn is not None:
            return
        blocks[-1].last_pfn = pfn
        # Marking setup_data nodes leaves the end of RAM where it was.
        if blocks[-1].name == "setup_data" and len(blocks) > 1:
            blocks[-2].last_pfn = pfn

    def _begin_boot(self, line: LogLine) -> None:
        if not self.boot.first_line:
            self.boot.first_line = line.number

    def _next_boot(self) -> None:
        # A long log has thousands of boots of one machine: their maps are kept once.
        for block in self.boot.blocks.values():
            block.entries = self.maps.setdefault(block.entries.key(), block.entries)
        self.boots.append(LoggedBoot(is_capture=self.is_capture_next))
        self.header = self.block = None
        self.is_capture_next = self.seen_pfn = False

    def _add(
        self, line: LogLine, entry: LogEntry, prefix: str, change: str = ""
    ) -> None:
        self.near, self.prefix, self.who = _NEAR, prefix, entry.who
        block = self.block
        if block is None or block.name != entry.block or block.restarts_with(entry):
            block = self._open(line, entry)
        block.entries.append(entry)
        block.is_followed = False
        block.lines.append(line.number)
        if line.changes or change:
            block.changes |= line.changes | ({change} if change else set())
        if _QUOTED.match(line.text):
            block.changes.add("quote mark")

    def _open(self, line: LogLine, entry: LogEntry) -> LogBlock:
        if entry.block == "bios" and "bios" in self.boot.blocks:
            self._next_boot()
        self._begin_boot(line)
        headers = {"extended", "setup_data"}
        has_header = self.header == entry.block or {self.header, entry.block} == headers
        self.block = LogBlock(name=entry.block, has_header=has_header)
        # Last, also where it takes the place of one of that name.
        self.boot.blocks.pop(entry.block, None)
        self.boot.blocks[entry.block] = self.block
        self.header = None
        return self.block


# The texts that go on with a line and are still begun, and the one that became whole.
def _ways_on(
    ways: list[str], body: str, prefix: str, nr_lines: int
) -> tuple[list[str], _Joined | None]:
    more: list[str] = []
    for base in ways:
        for at in body_starts(body, prefix):
            whole = base.rstrip() + body[at:]
            state = entry_state(whole)
            if state == "begun":
                more.append(whole)
            elif state == "whole":
                end = at + _length(whole) - len(base.rstrip())
                if end > at:
                    return [], _Joined(whole, nr_lines, end)
    return list(dict.fromkeys(more))[:_WAYS_LIMIT], None


# A number at the end of a line may have more digits on the next.
def _with_digits(joined: _Joined, body: str, prefix: str) -> _Joined:
    for at in body_starts(body, prefix, like=True):
        if _NUMBER.fullmatch(body, at):
            text = joined.text.rstrip() + body[at:]
            return _Joined(text, joined.nr_lines + 1, len(body))
    return joined


# Of the entry or headline that starts a text.
def _length(text: str) -> int:
    parsed = parse_entry(text)
    if parsed is not None:
        return parsed[1]
    headline = re.match(HEADLINE, text)
    return headline.end() if headline else 0


def _ends_in_number(text: str) -> bool:
    return _NUMBER_AT_END.search(text.rstrip()) is not None


# A range that is empty or reversed was damaged on its way.
def _note_srat(boot: LoggedBoot, event: re.Match[str]) -> None:
    if event["near"] is not None:
        start, end = int(event["near"], 16), int(event["far"], 16) + 1
    else:
        start, end = int(event["zone"], 16), int(event["zone_end"], 16)
    if start < end <= ByteRangeSet.LIMIT:
        boot.hotplug.append((start, end))
