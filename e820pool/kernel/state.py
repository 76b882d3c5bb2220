"""What the steps of early boot read and write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.extents import ByteRangeSet
from e820pool.kernel.memblock_array import INIT_REGIONS
from e820pool.kernel.table import Table

if TYPE_CHECKING:
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import MapSource, Row

__all__ = (
    "FATAL_BEYOND_MAX_PFN",
    "FATAL_COUNT",
    "FATAL_EXTEND_BRK",
    "FATAL_EXT_SIZE",
    "FATAL_FIRMWARE_MAP",
    "FATAL_FREED_ARRAY",
    "FATAL_INITRD_SIZE",
    "FATAL_KERNEL_UNMAPPED",
    "FATAL_LONG_LINE",
    "FATAL_NO_INITRD",
    "FATAL_NO_MEMORY",
    "FATAL_NO_TRAMPOLINE",
    "FATAL_RESERVED_SIZE",
    "FATAL_RETYPE",
    "FATAL_USER_MAP",
    "EarlyBoot",
)

#: Nothing is left of the map after mem= and memmap=.
FATAL_USER_MAP = "Invalid user supplied memory map"
FATAL_COUNT = "BUG: more than 128 entries in the zero page"  #: Before 4.12.
FATAL_EXTEND_BRK = "BUG in extend_brk: no room for reservations"  #: From 5.15 on.
FATAL_EXT_SIZE = "SETUP_E820_EXT node too large to map"  #: More than 64 pages.
#: BUG_ON in __e820__range_update().
FATAL_RETYPE = "BUG: memmap= changes a type into itself"
FATAL_BEYOND_MAX_PFN = "crash in free_area_init: memory beyond max_pfn"  #: Until 6.14.
FATAL_FIRMWARE_MAP = "BUG in firmware_map_add_entry"  #: An end at 2^64.
#: From 6.17 on.
FATAL_FREED_ARRAY = "hang in register_memory_blocks_under_nodes: memblock's freed array"
#: 4.18 and 4.19.
FATAL_RESERVED_SIZE = "stuck in reserve_bootmem_region: too much is reserved"
#: Before 5.10.
FATAL_INITRD_SIZE = "initrd too large to handle: half of memory or more"
#: A full table.
FATAL_KERNEL_UNMAPPED = "crash in setup_arch: the kernel image is no memory"
FATAL_LONG_LINE = "BUG in fortified strlen(): the command line has no end"  #: No NUL.
FATAL_NO_INITRD = "Cannot find place for new RAMDISK"  #: Nothing free is as large.
FATAL_NO_MEMORY = "alloc_low_pages: can not alloc memory"  #: Nothing free above 1 MiB.
FATAL_NO_TRAMPOLINE = "Real mode trampoline was not allocated"  #: No low RAM.


@dataclass(slots=True, kw_only=True)
class EarlyBoot:
    """Hold the state of one kernel's early boot.

    Attributes:
        given: the zero page's entries.
        extended: the entries of each SETUP_E820_EXT node.
        table: e820_table (e820 before 4.12), which becomes memory.
        firmware: e820_table_firmware; e820_saved before 4.12.
        kexec: e820_table_kexec; the same as ``firmware`` before 4.12.
        warnings: stable words for what the kernel prints, in order, once each.
        dropped: rows lost outside of ``table``: refused ones.
        lost: rows that memblock had no room for.
        array_room: bytes in which memblock's grown array lies, None while it fits
            the slots it has from the start.
        array_slots: how many memblock's array has then, None without limit.
        fatal: what ends the boot before memory is set up.
        dies_later: what ends it after that.
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
    array_room: tuple[int, int] | None = None
    array_slots: int | None = INIT_REGIONS
    dropped: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fatal: str | None = None
    dies_later: str | None = None

    @classmethod
    def of(cls, inp: BootInput, profile: Profile) -> EarlyBoot:
        """Return the state before the zero page is read."""
        extended = [entries.tolist() for entries in inp.ext]
        return cls.of_rows(inp, profile, inp.table.tolist(), extended)

    @classmethod
    def of_rows(
        cls,
        inp: BootInput,
        profile: Profile,
        given: list[Row],
        extended: list[list[Row]],
    ) -> EarlyBoot:
        """Return the same state where the entries are rows already.

        ``inp`` tells the rest; its own entries are not looked at.
        """
        table = Table(profile.capacity, profile.never_merge)
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

    def memory_bytes(self) -> ByteRangeSet:
        """Return memblock.memory as a set of bytes."""
        return ByteRangeSet((addr, addr + size) for addr, size in self.memory)

    def warn(self, word: str) -> None:
        """Note what the kernel prints about the table."""
        if word not in self.warnings:
            self.warnings.append(word)

    def end_later(self, reason: str) -> None:
        """Note what ends the boot once memory is set up; the first reason counts."""
        self.dies_later = self.dies_later or reason

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
