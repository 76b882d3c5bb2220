"""Free memory above 1 MiB: for page tables, and for an initrd that is not in RAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_ACPI, E820_TYPE_RAM
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE, ByteRangeSet
from e820pool.kernel.memblock import (
    FIRST_64K,
    early_reservations,
    free_low_memory,
    reserved_while_mapping,
)
from e820pool.kernel.state import INIT_REGIONS
from e820pool.kernel.view import BootEnd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.kernel.state import EarlyBoot
    from e820pool.range_lists import Row, StartEnd

__all__ = (
    "BEYOND_MAX_PFN",
    "ENDLESS_WORK",
    "INITRD_TOO_LARGE",
    "MOST_RESERVATIONS",
    "NO_FREE_MEMORY",
    "NO_PLACE_FOR_INITRD",
    "NO_ROOM_FOR_SECTIONS",
    "NO_TRAMPOLINE",
    "RESERVED_ARRAY_STUCK",
    "find_endless_work",
    "find_memory_beyond",
    "find_no_free_memory",
    "find_no_place_for_initrd",
    "find_no_room_for_sections",
    "find_no_trampoline",
    "find_no_trampoline_at_once",
    "find_stuck_reservations",
    "fragments_with_tables",
    "max_pfn",
)

# max_pfn: where RAM ends for the kernel, and memory that lies beyond it.

#: Until 6.14, and beyond 64 TiB.
BEYOND_MAX_PFN = BootEnd(
    id="beyond-max-pfn",
    words="crash in free_area_init: memory beyond max_pfn",
    source="6.1 mm/page_alloc.c free_area_init()",
)

# MAX_ARCH_PFN with four-level page tables: 64 TiB (2.6.32 to 7.3).
_MAX_PFN_LIMIT = 1 << 34

_U64_MASK = (1 << 64) - 1


def max_pfn(rows: Sequence[Row], *, counts_acpi: bool) -> int:
    """Return the end of the last RAM entry, in whole pages.

    Linux 6.1 arch/x86/kernel/e820.c e820_end_pfn().

    Args:
        rows: the kernel's table.
        counts_acpi: whether ACPI tables are RAM to it: ``max-pfn-counts-acpi``.
    """
    kinds = (E820_TYPE_RAM, E820_TYPE_ACPI) if counts_acpi else (E820_TYPE_RAM,)
    limit = _MAX_PFN_LIMIT << PAGE_SHIFT
    ends = [(a + s) & _U64_MASK for a, s, kind in rows if kind in kinds and a < limit]
    return min(max(ends, default=0) >> PAGE_SHIFT, _MAX_PFN_LIMIT)


def find_memory_beyond(boot: EarlyBoot) -> None:
    """Note memory that max_pfn does not count: it belongs to no node.

    Type 128 is memory but no RAM entry; so is a setup_data node that fills the
    last page of RAM. A NUMA kernel dies of it in free_area_init().
    """
    top = max((end for _, end in boot.memory), default=0)
    end_pfn = max_pfn(boot.table.rows, counts_acpi=False)
    if top >> PAGE_SHIFT <= end_pfn or not boot.profile.has("memblock"):
        return
    if boot.profile.has("max-pfn-counts-acpi"):
        end_pfn = max_pfn(boot.table.rows, counts_acpi=True)
        if top >> PAGE_SHIFT <= end_pfn:
            return
    boot.warn("memory-beyond-max-pfn")
    end = end_pfn << PAGE_SHIFT
    has = boot.profile.has
    kills = (
        has("memory-beyond-max-pfn-kills")
        or (_asks_reserved_pages(boot) and _is_reserved_behind(boot, end))
        or (has("memory-above-64-tib-kills") and top > _MAX_PFN_LIMIT << PAGE_SHIFT)
        or (has("section-beyond-max-pfn-kills") and _is_section_behind(boot, end))
    )
    if kills and boot.profile.config["NUMA"]:
        boot.end_later(BEYOND_MAX_PFN)


# SECTION_SIZE_BITS of x86-64.
_SECTION = 1 << 27


# A section's node is that of the first memory in it; beyond 64 TiB there are none:
# Linux 3.10 mm/sparse.c memory_present(), sparse_init().
def _is_section_behind(boot: EarlyBoot, addr: int) -> bool:
    limit = _MAX_PFN_LIMIT << PAGE_SHIFT
    memory = boot.memory_bytes() & ByteRangeSet([(0, limit)])
    start = addr // _SECTION * _SECTION
    if memory & ByteRangeSet([(start, addr)]):
        addr = start + _SECTION
    return bool(memory & ByteRangeSet([(addr, max(addr, limit))]))


# Each reserved page is asked for its node: Linux 4.4, 5.4 mm/page_alloc.c
# reserve_bootmem_region(), early_page_uninitialised().
def _asks_reserved_pages(boot: EarlyBoot) -> bool:
    profile = boot.profile
    deferred = bool(profile.config["DEFERRED_STRUCT_PAGE_INIT"])
    return deferred and profile.has("reserved-beyond-max-pfn-kills")


def _is_reserved_behind(boot: EarlyBoot, addr: int) -> bool:
    behind = boot.memory_bytes() & ByteRangeSet([(addr, _U64_MASK)])
    return bool(behind & ByteRangeSet(early_reservations(boot)))


#: Nothing is free above 1 MiB.
NO_FREE_MEMORY = BootEnd(
    id="no-free-memory",
    words="alloc_low_pages: can not alloc memory",
    source="6.1 arch/x86/mm/init.c alloc_low_pages()",
)
#: Up to 2.6.36.
NO_ROOM_FOR_SECTIONS = BootEnd(
    id="no-room-for-sections",
    words="Out of memory: no 4 MiB in one piece",
    source="2.6.32 mm/sparse.c sparse_init()",
)
#: Nothing that is free is as large.
NO_PLACE_FOR_INITRD = BootEnd(
    id="no-place-for-initrd",
    words="Cannot find place for new RAMDISK",
    source="6.1 arch/x86/kernel/setup.c relocate_initrd()",
)
#: Before 5.10.
INITRD_TOO_LARGE = BootEnd(
    id="initrd-too-large",
    words="initrd too large to handle: half of memory or more",
    source="4.4, 4.19 arch/x86/kernel/setup.c reserve_initrd()",
)
#: 4.18 and 4.19.
ENDLESS_WORK = BootEnd(
    id="endless-work",
    words="stuck in reserve_bootmem_region: too much is reserved",
    source="4.19 mm/page_alloc.c reserve_bootmem_region()",
)

_PAGE_MASK = PAGE_SIZE - 1
_LAST_PAGE = (1 << 64) - PAGE_SIZE
_FIRST_TABLE = 0x8000
_SECTION_LIST = 4 << 20
# Between what was seen to be done soon, 1 TiB, and what was not, 64 TiB.
_MOST_RESERVED_BYTES = 32 << 40


def find_no_free_memory(boot: EarlyBoot) -> None:
    """Note a boot in which all memory above 1 MiB is in use already.

    The kernel image, the initrd and nodes are in use. A kernel that finds a little
    more may still end for want of it later; that is not said here.
    Linux 6.1 arch/x86/mm/init.c alloc_low_pages(); 5.10 to 7.3 alike. 2.6.32
    find_early_table_space() looks below 1 MiB, too.
    """
    free = _free(boot)
    if not free and not boot.profile.has("memblock"):
        free = boot.memory_bytes() & ByteRangeSet([(_FIRST_TABLE, _U64_MASK)])
        free -= ByteRangeSet(early_reservations(boot))
    if not free:
        boot.end_later(NO_FREE_MEMORY)


def find_no_room_for_sections(boot: EarlyBoot) -> None:
    """Note memory in pieces too small for the list of sections that 2.6.32 makes.

    Linux 2.6.32 mm/sparse.c sparse_init(): a pointer for each of 2^19 sections.
    """
    if boot.profile.has("memblock"):
        return
    free = boot.memory_bytes() - ByteRangeSet(early_reservations(boot))
    if all(end - start < _SECTION_LIST for start, end in free):
        boot.end_later(NO_ROOM_FOR_SECTIONS)


def find_no_place_for_initrd(boot: EarlyBoot) -> None:
    """Note an initrd outside of memory that there is no place to copy to.

    Before 5.10 also one that is as large as half of memory, wherever it is.
    Linux 4.19, 6.1 arch/x86/kernel/setup.c reserve_initrd(), relocate_initrd(); 5.10
    to 7.3 alike.
    """
    where = boot.inp.initrd
    if where is None or not boot.profile.has("memblock"):
        return
    if boot.profile.has("initrd-below-half-of-memory"):
        half = _mapped_bytes(boot) >> 1
        if where.size >= half:
            boot.end_later(INITRD_TOO_LARGE)
    start, end = where.start & ~_PAGE_MASK, (where.end + _PAGE_MASK) & ~_PAGE_MASK
    if boot.memory_bytes().contains(start, end):
        return
    if all(high - low < end - start for low, high in _free(boot)):
        boot.end_later(NO_PLACE_FOR_INITRD)


def find_endless_work(boot: EarlyBoot) -> None:
    """Record a boot that spends hours on reserving the pages of huge gaps.

    Linux 4.19.0 mm/page_alloc.c reserve_bootmem_region().
    """
    if boot.profile.has("gaps-reserved"):
        reserved = reserved_while_mapping(boot)
        # The number of the page behind the last one wraps to 0: none is visited.
        sizes = (high - low for low, high in reserved if high <= _LAST_PAGE)
        if sum(sizes) >= _MOST_RESERVED_BYTES:
            boot.end_later(ENDLESS_WORK)


def _free(boot: EarlyBoot) -> ByteRangeSet:
    return boot.memory_bytes() - reserved_while_mapping(boot)


# memblock_mem_size(max_pfn_mapped).
def _mapped_bytes(boot: EarlyBoot) -> int:
    counts_acpi = boot.profile.has("max-pfn-counts-acpi")
    end = max_pfn(boot.table.rows, counts_acpi=counts_acpi) << PAGE_SHIFT
    mapped = ByteRangeSet([(0, end)]) & boot.memory_bytes()
    return sum(high - low for low, high in mapped)


# Page tables for fragments of RAM at the top of memory, and the reservations for them.
#
#     memory    ########################        ##    ##    ##    ##
#     mapped    <------ from the top down ------] then upwards ----->
#     tables                                   t<-'t<--'t<--'
#
# Each fragment's table is taken from the fragment before, and is a reservation of its
# own. While memory is mapped all of the first MiB is reserved, so that memblock's array
# of reservations has no place to grow.

#: From 5.15 on.
RESERVED_ARRAY_STUCK = BootEnd(
    id="reserved-array-stuck",
    words="BUG in extend_brk: no room for reservations",
    source="6.1 arch/x86/mm/init.c memory_map_top_down(), alloc_low_pages()",
)

# Tables that fit into the kernel's own buffer (early_alloc_pgt_buf()) are none of
# memblock's. Debian's 6.1 was seen to get by with 12 of them, its 7.3 with 8 to 11.
_TABLES_OF_THE_KERNEL = 10

MOST_RESERVATIONS = INIT_REGIONS + _TABLES_OF_THE_KERNEL
"""Reservations and fragments together that a boot survives, give or take two."""

_LARGE = 2 << 20


def find_stuck_reservations(boot: EarlyBoot) -> None:
    """Note a boot with more fragments than memblock has slots for reservations.

    Linux 6.1 arch/x86/mm/init.c init_mem_mapping(), alloc_low_pages(),
    arch/x86/kernel/setup.c extend_brk(); 5.15 to 7.3 alike. 5.13 and 5.14 go on, with
    page tables in free memory; how many fit there was not measured, and what 128
    slots do not hold is called unreserved.
    """
    taken = reserved_while_mapping(boot)
    nr_reserved = len(taken) + fragments_with_tables(boot.memory, taken)
    if nr_reserved > INIT_REGIONS and boot.profile.has("page-tables-unreserved"):
        boot.warn("page-tables-unreserved")
    if nr_reserved > MOST_RESERVATIONS and boot.profile.has("reserved-array-stuck"):
        boot.warn("memblock-full")
        boot.end_later(RESERVED_ARRAY_STUCK)


def fragments_with_tables(memory: Sequence[StartEnd], taken: ByteRangeSet) -> int:
    """Return how many regions above the last free 2 MiB need a page table.

    Args:
        memory: memblock.memory, in order.
        taken: bytes that are reserved.
    """
    if len(memory) <= INIT_REGIONS // 2:
        return 0
    last = _last_free_block(memory, taken)
    if not last:
        # Kernels differ in where they begin then.
        return 0
    tables: set[int] = set()
    count = 0
    for bounds in memory:
        partial = {bound // _LARGE for bound in bounds if bound % _LARGE}
        partial = {number for number in partial if number * _LARGE >= last}
        count += bool(partial - tables)
        tables |= partial
    return count


# memory_map_top_down(): the highest aligned 2 MiB that are free; 0 without any.
def _last_free_block(memory: Sequence[StartEnd], taken: ByteRangeSet) -> int:
    free = ByteRangeSet(memory) - taken
    ends = (end // _LARGE * _LARGE for start, end in free if _holds_block(start, end))
    return max(ends, default=0)


def _holds_block(start: int, end: int) -> bool:
    return -(-start // _LARGE) < end // _LARGE


# The real-mode trampoline: low RAM without which no kernel gets far.

#: No low RAM.
NO_TRAMPOLINE = BootEnd(
    id="no-trampoline",
    words="Real mode trampoline was not allocated",
    source="6.1, 7.3 arch/x86/realmode/init.c reserve_real_mode(), init_real_mode()",
)

# Whole pages of the real-mode code: 4.4.178 and Debian's 5.10 have 0x6000, 6.1 to 7.3
# have 0x7000.
_TRAMPOLINE_BYTES = 0x7000
_SMALLER_BYTES = 0x6000


def find_no_trampoline_at_once(boot: EarlyBoot) -> None:
    """Note the same of a kernel that panics where it reserves the place.

    Linux 4.4 arch/x86/realmode/init.c reserve_real_mode().
    """
    if _lacks_trampoline(boot) and boot.profile.has("no-trampoline-kills-at-once"):
        boot.end_later(NO_TRAMPOLINE)


def find_no_trampoline(boot: EarlyBoot) -> None:
    """Note a boot that ends for want of a place for the trampoline below 1 MiB.

    Linux 6.1 arch/x86/realmode/init.c reserve_real_mode(), init_real_mode();
    4.9 to 7.3 alike.
    """
    if _lacks_trampoline(boot):
        boot.end_later(NO_TRAMPOLINE)


def _lacks_trampoline(boot: EarlyBoot) -> bool:
    if _has_room(free_low_memory(boot, FIRST_64K), _TRAMPOLINE_BYTES):
        # The larger size, above what any kernel reserves: no question of releases.
        return False
    if not boot.profile.has("no-trampoline-kills"):
        return False
    lowest, size = FIRST_64K, _TRAMPOLINE_BYTES
    if not boot.profile.has("first-mib-reserved"):
        lowest, size = PAGE_SIZE, _SMALLER_BYTES
    return not _has_room(free_low_memory(boot, lowest), size)


def _has_room(free: ByteRangeSet, size: int) -> bool:
    return any(end - start >= size for start, end in free)
