"""Gather the entries of a kernel log into the maps of each boot."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.sources.log_entry import (
    BlockName,
    LogEntry,
    block_of_header,
    is_cut_entry,
    parse_entry,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.sources.log_text import LogLine

__all__ = ("Boot", "LogBlock", "boots_of")

# A line without any of these is of no interest. Looking for each in turn is several
# times faster than one pattern of them all, and most lines of a log have none.
_HINTS = (
    *("e820", "BIOS-", "RAM map", "setup_data: ", "user: ", "modified: "),
    *("extended: ", "Xen: ", "LGUEST: ", "Linux version ", "ntries", "table full"),
    *("last_pfn = ", "econdary CPUs", "Booting SMP"),
)
_BANNER = re.compile(r"(?:^|[^\w-])Linux version [0-9]")
# "Ooops! Too many entries in the memory map!" to 3.4; "too many entries; ignoring
# [mem ..]" to 6.19; "E820 table full; ignoring [mem ..]" since 7.0.
_DROPPED = re.compile(
    r"[Tt]oo many entries(?: in the memory map|; ignoring)|E820 table full; ignoring"
)
_LAST_PFN = re.compile(r"last_pfn = (0x[0-9a-fA-F]{1,16}) ")
_SMP = re.compile(r"Bringing up secondary CPUs|Booting SMP configuration")
# What mail, comments and markup put before a line.
_QUOTED = re.compile(r"\s*[>|#*]")
_LEADING_WORDS = re.compile(r"[\s>|#*]*")


@dataclass(slots=True, kw_only=True)
class LogBlock:
    """Gather one printed map while a log is read.

    Attributes:
        entries: ranges and gap lines in their order.
        lines: the line numbers of the entries.
        has_header: whether the kernel's headline stood before it.
        changes: what transport had done to its lines.
        odd_words: words that are no type, as printed.
    """

    name: BlockName
    has_header: bool
    entries: list[LogEntry] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    changes: set[str] = field(default_factory=set)

    def ranges(self) -> list[LogEntry]:
        """Return the entries that are no gap lines."""
        return [entry for entry in self.entries if entry.type is not None]

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
class Boot:
    """Gather what one boot printed.

    Attributes:
        blocks: the last map of each name.
        dropped: numbers of the lines that say a table was full.
        cut: numbers of the lines that begin as an entry and end too early.
        last_pfn: the first number so called after the BIOS map: the end of RAM.
        last_line: number of the last line that is not blank.
        has_hole: CPUs are started after the map with no last_pfn in between, which
            every kernel prints.
    """

    blocks: dict[BlockName, LogBlock] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    last_pfn: int | None = None
    last_line: int = 0
    has_hole: bool = False


def boots_of(lines: Iterable[LogLine]) -> list[Boot]:
    """Return the boots of a log that printed a map or began one, in order."""
    gather = _Gather()
    for line in lines:
        gather.take(line)
    gather.end()
    return [boot for boot in gather.boots if boot.blocks or boot.cut]


class _Gather:
    # The state of one reading: which boot, which map, a line that may go on.

    def __init__(self) -> None:
        self.boots = [Boot()]
        self.block: LogBlock | None = None
        self.header: BlockName | None = None
        self.pending: tuple[LogLine, LogEntry] | None = None

    @property
    def boot(self) -> Boot:
        return self.boots[-1]

    def take(self, line: LogLine) -> None:
        if line.text.strip():
            if self.pending is not None and self._continues(line, *self.pending):
                return
            self.boot.last_line = line.number
        for hint in _HINTS:
            if hint in line.text:
                self._read(line)
                break

    def _read(self, line: LogLine) -> None:
        entry = parse_entry(line.text)
        if entry is not None and entry.has_words:
            self._add(line, entry)
        elif entry is not None:
            self.pending = (line, entry)
        elif is_cut_entry(line.text):
            self.boot.cut.append(line.number)
        else:
            self._read_around(line)

    def _read_around(self, line: LogLine) -> None:
        # Lines that are no entries and tell something of the map.
        header = block_of_header(line.text)
        if header is not None:
            if header == "bios" and "bios" in self.boot.blocks:
                self._next_boot(line)
            self.header, self.block = header, None
        elif _BANNER.search(line.text) and self.boot.blocks:
            self._next_boot(line)
        elif _DROPPED.search(line.text):
            self.boot.dropped.append(line.number)
        elif "bios" in self.boot.blocks and self.boot.last_pfn is None:
            match = _LAST_PFN.search(line.text)
            if match:
                self.boot.last_pfn = int(match[1], 16)
            elif _SMP.search(line.text):
                self.boot.has_hole = True

    def _next_boot(self, line: LogLine) -> None:
        self.boots.append(Boot(last_line=line.number))
        self.header = self.block = None

    def _continues(self, line: LogLine, started: LogLine, entry: LogEntry) -> bool:
        # A line that ends after its range goes on where mail wrapped it; if not,
        # its type is missing.
        rest = _LEADING_WORDS.sub("", line.text, count=1)
        whole = parse_entry(f"{started.text.removesuffix('=20')} {rest}")
        if whole is None or not whole.has_words or whole.words:
            self._add(started, entry)
            self.pending = None
            return False
        self.pending = None
        self._add(started, whole, "wrapped line")
        self.boot.last_line = line.number
        return True

    def end(self) -> None:
        if self.pending is not None:
            self._add(*self.pending)

    def _add(self, line: LogLine, entry: LogEntry, change: str = "") -> None:
        block = self.block
        if block is None or block.name != entry.block or block.restarts_with(entry):
            block = self._open(line, entry)
        block.entries.append(entry)
        block.lines.append(line.number)
        block.changes |= line.changes | ({change} if change else set())
        if _QUOTED.match(line.text):
            block.changes.add("quote mark")

    def _open(self, line: LogLine, entry: LogEntry) -> LogBlock:
        if entry.block == "bios" and "bios" in self.boot.blocks:
            self._next_boot(line)
        headers = {"extended", "setup_data"}
        has_header = self.header == entry.block or {self.header, entry.block} == headers
        self.block = LogBlock(name=entry.block, has_header=has_header)
        self.boot.blocks[entry.block] = self.block
        self.header = None
        return self.block
