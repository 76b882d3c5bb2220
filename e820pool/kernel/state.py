"""What the steps of early boot read and write."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from e820pool.extents import ByteRangeSet, Span, span_of
from e820pool.kernel.cmdline import line_that_counts
from e820pool.kernel.profiles import UNBOUNDED
from e820pool.kernel.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import BootEnd, MapSource, Row

__all__ = ("INIT_REGIONS", "EarlyBoot")

_MAPS = ("bios_map", "extended_map", "setup_data_map", "user_map")

INIT_REGIONS = 128
"""INIT_MEMBLOCK_REGIONS: memblock's slots that need no memory (3.10 to 7.3)."""


@dataclass(slots=True, kw_only=True)
class EarlyBoot:
    """The state of one kernel's early boot.

    Attributes:
        given: the zero page's entries.
        extended: the entries of each SETUP_E820_EXT node.
        table: e820_table (e820 before 4.12), which becomes memory.
        firmware: e820_table_firmware; e820_saved before 4.12.
        kexec: e820_table_kexec; the same as ``firmware`` before 4.12.
        warnings: stable words for what the kernel prints, in order, once each.
        dropped: rows lost outside of ``table``: refused ones.
        memory: memblock.memory in bytes, ``(start, end)``, page-rounded.
        lost: rows that memblock had no room for.
        array_room: bytes in which memblock's grown array lies, None while it fits
            the slots it has from the start.
        array_slots: how many memblock's array has then, None without limit.
        end: what ends the boot before memory is set up, None when nothing does.
        later_end: what ends it after that.
        spans, final_rows, firmware_rows, kexec_rows: ``memory`` and the three tables
            once no step changes them any more; empty before :meth:`settle`.
    """

    inp: BootInput
    profile: Profile
    given: list[Row]
    extended: list[list[Row]]
    table: Table
    firmware: Table
    kexec: Table
    map_source: MapSource = "BIOS-e820"
    bios_map: tuple[Row, ...] = ()
    extended_map: tuple[Row, ...] | None = None
    setup_data_map: tuple[Row, ...] | None = None
    user_map: tuple[Row, ...] | None = None
    user_defined: bool = False
    memory: tuple[tuple[int, int], ...] = ()
    lost: list[Row] = field(default_factory=list)
    array_room: Span | None = None
    array_slots: int | None = INIT_REGIONS
    dropped: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    end: BootEnd | None = None
    later_end: BootEnd | None = None
    spans: tuple[Span, ...] = ()
    final_rows: tuple[Row, ...] = ()
    firmware_rows: tuple[Row, ...] = ()
    kexec_rows: tuple[Row, ...] = ()
    # The set of ``memory``, once it was asked for, by whoever sees this state.
    _bytes: list[ByteRangeSet] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def of(
        cls, inp: BootInput, profile: Profile, *, has_limit: bool = True
    ) -> EarlyBoot:
        """Return the state before the zero page is read.

        Args:
            inp: what the kernel reads.
            profile: how it reads.
            has_limit: False gives its tables room for whatever comes.
        """
        rows, extended = inp.rows(), inp.ext_rows()
        return cls.of_rows(inp, profile, rows, extended, has_limit=has_limit)

    @classmethod
    def of_rows(
        cls,
        inp: BootInput,
        profile: Profile,
        given: list[Row],
        extended: list[list[Row]],
        *,
        has_limit: bool = True,
    ) -> EarlyBoot:
        """Return the same state where the entries are rows already.

        ``inp`` has the rest; its own entries are not looked at, and its command line
        becomes the one that this kernel goes by.
        """
        capacity = profile.capacity if has_limit else UNBOUNDED
        table = Table(capacity, profile.never_merge)
        line = line_that_counts(inp.cmdline, profile)
        if line != inp.cmdline:
            inp = replace(inp, cmdline=line)
        return cls(
            inp=inp,
            profile=profile,
            given=given,
            extended=extended,
            table=table,
            firmware=table,
            kexec=table,
        )

    def all_dropped(self) -> tuple[Row, ...]:
        """Return every row that was refused, or lost for lack of room."""
        return (*self.dropped, *self.table.dropped, *self.lost)

    def most_rows(self) -> int:
        """Return how many rows a table of it had at most, or would have had."""
        return max(table.most for table in (self.table, self.firmware, self.kexec))

    def settle(self, same: Callable[[Any], Any] = lambda rows: rows) -> None:
        """Note the tables' rows as they are now, when no step changes them any more.

        Args:
            same: gives for the rows of a map the first object that is equal to it, of
                those that it is asked about for several states. Their keys
                (:meth:`state`, :meth:`core`) can only then be compared.
        """
        self.memory = self.spans = same(tuple(map(span_of, self.memory)))
        self.final_rows = tuple(self.table.rows)
        self.firmware_rows = tuple(self.firmware.rows)
        self.kexec_rows = tuple(self.kexec.rows)
        # Most maps are equal to another of the same state, which is soon seen.
        known: list[tuple[Row, ...] | None] = []
        for name in ("final_rows", "firmware_rows", "kexec_rows", *_MAPS):
            rows = getattr(self, name)
            if rows not in known:
                known.append(same(rows))
            setattr(self, name, known[known.index(rows)])

    def core(self) -> Hashable:
        """Return what later steps start from, but for the maps that are passed on."""
        inp, arrays = self.inp, (self.array_room, self.array_slots)
        line = (inp.kernel_range, inp.initrd, inp.cmdline)
        user = (self.user_map is None, self.end)
        return (id(self.final_rows), id(self.memory), arrays, line, user)

    def state(self) -> Hashable:
        """Return all that it holds: the same for the same state."""
        maps = (self.firmware_rows, self.kexec_rows, *(getattr(self, n) for n in _MAPS))
        words = (self.map_source, tuple(self.warnings), self.user_defined)
        return (self.core(), *map(id, maps), words, self.all_dropped())

    def seen_by(self, profile: Profile) -> EarlyBoot:
        """Return the same state for a look at it: with no warning and no later end."""
        other = object.__new__(EarlyBoot)
        for name in EarlyBoot.__slots__:
            setattr(other, name, getattr(self, name))
        other.profile, other.warnings, other.later_end = profile, [], None
        return other

    def memory_bytes(self) -> ByteRangeSet:
        """Return memblock.memory as a set of bytes."""
        if not self._bytes:
            self._bytes.append(ByteRangeSet.of_valid(self.memory))
        return self._bytes[0]

    def warn(self, word: str) -> None:
        """Note what the kernel prints about the table."""
        if word not in self.warnings:
            self.warnings.append(word)

    def end_later(self, end: BootEnd) -> None:
        """Note what ends the boot once memory is set up; the first end counts."""
        self.later_end = self.later_end or end

    def sanitize(self) -> bool:
        """Resolve the table's overlaps; note it when the kernel refuses."""
        done = self.table.sanitize()
        if not done:
            self.warn("sanitizer-refused")
        return done

    def keep_firmware_map(self) -> None:
        """Copy the table to the ones that are passed on."""
        self.firmware = self.table.copy()
        self.kexec = self.firmware.copy()
