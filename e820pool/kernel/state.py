"""What the steps of early boot read and write."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from e820pool.extents import ByteRangeSet, Span, span_of
from e820pool.kernel.cmdline import line_that_counts
from e820pool.kernel.kernel_table import Table
from e820pool.kernel.profiles import UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Hashable

    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import BootEnd, MapSource
    from e820pool.range_lists import Row, StartEnd

__all__ = ("INIT_REGIONS", "EarlyBoot")

_T = TypeVar("_T")

_MAPS = ("bios_map", "extended_map", "setup_data_map", "user_map")

INIT_REGIONS = 128
"""INIT_MEMBLOCK_REGIONS: memblock's slots that need no memory (3.10 to 7.3)."""


@dataclass(slots=True, kw_only=True)
class EarlyBoot:
    """The state of one kernel's early boot.

    Attributes:
        given: the zero page's entries.
        is_swept: whether no kernel's sweep changes them, None where nobody has looked.
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
    is_swept: bool | None = None
    map_source: MapSource = "BIOS-e820"
    bios_map: tuple[Row, ...] = ()
    extended_map: tuple[Row, ...] | None = None
    setup_data_map: tuple[Row, ...] | None = None
    user_map: tuple[Row, ...] | None = None
    user_defined: bool = False
    memory: tuple[StartEnd, ...] = ()
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
    # Made when they are first asked for, once no step changes what they are made of.
    _bytes: ByteRangeSet | None = None
    _types: frozenset[int] | None = None

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
        boot = cls.of_rows(
            inp, profile, inp.rows(), inp.ext_rows(), has_limit=has_limit
        )
        boot.is_swept = inp.is_swept()
        return boot

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

    def settle(self, known: list[Any]) -> None:
        """Note the tables' rows as they are now, when no step changes them any more.

        Args:
            known: the maps of other states. A map that is equal to one of them becomes
                that object, so that keys (:meth:`state`, :meth:`core`) can be compared;
                others are added.
        """
        # Maps that differ mostly do so in one of their first or last rows, and share
        # the others: a look at each is cheaper than a hash.
        self.memory = self.spans = _same(tuple(map(span_of, self.memory)), known)
        self.final_rows = _same(tuple(self.table.rows), known)
        self.firmware_rows = _same(tuple(self.firmware.rows), known)
        self.kexec_rows = _same(tuple(self.kexec.rows), known)
        for name in _MAPS:
            setattr(self, name, _same(getattr(self, name), known))

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

    def memory_bytes(self) -> ByteRangeSet:
        """Return memblock.memory as a set of bytes."""
        if self._bytes is None:
            self._bytes = ByteRangeSet.of_valid(self.memory)
        return self._bytes

    def has_type(self, kind: int) -> bool:
        """Return whether the table holds a row of the type."""
        if not self.final_rows:
            return any(row[2] == kind for row in self.table.rows)
        if self._types is None:
            self._types = frozenset(row[2] for row in self.final_rows)
        return kind in self._types

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


def _same(value: _T, known: list[Any]) -> _T:
    for other in known:
        if other == value:
            same: _T = other
            return same
    known.append(value)
    return value
