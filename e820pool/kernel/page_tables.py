"""Page tables for fragments of RAM at the top of memory, and the reservations for them.

    memory    ########################        ##    ##    ##    ##
    mapped    <------ from the top down ------] then upwards ----->
    tables                                   t<-'t<--'t<--'

Each fragment's table is taken from the fragment before, and is a reservation of its
own. While memory is mapped all of the first MiB is reserved, so that memblock's array
of reservations has no place to grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.extents import ByteRangeSet, Span
from e820pool.kernel.boot_end import BootEnd
from e820pool.kernel.memblock import reserved_while_mapping
from e820pool.kernel.state import INIT_REGIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.kernel.state import EarlyBoot

__all__ = (
    "MOST_RESERVATIONS",
    "RESERVED_ARRAY_STUCK",
    "find_stuck_reservations",
    "fragments_with_tables",
)

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
    ends = boot.profile.has("reserved-array-stuck")
    goes_on = boot.profile.has("page-tables-unreserved")
    if not ends and not goes_on:
        return
    taken = reserved_while_mapping(boot)
    fragments = fragments_with_tables(boot.memory, taken)
    if goes_on and len(taken) + fragments > INIT_REGIONS:
        boot.warn("page-tables-unreserved")
    if ends and len(taken) + fragments > MOST_RESERVATIONS:
        boot.warn("memblock-full")
        boot.end_later(RESERVED_ARRAY_STUCK)


def fragments_with_tables(memory: Sequence[Span], taken: ByteRangeSet) -> int:
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
        partial = {one for one in partial if one * _LARGE >= last}
        count += bool(partial - tables)
        tables |= partial
    return count


# memory_map_top_down(): the highest aligned 2 MiB that are free; 0 without any.
def _last_free_block(memory: Sequence[Span], taken: ByteRangeSet) -> int:
    free = ByteRangeSet(memory) - taken
    ends = (end // _LARGE * _LARGE for start, end in free if _holds_block(start, end))
    return max(ends, default=0)


def _holds_block(start: int, end: int) -> bool:
    return -(-start // _LARGE) < end // _LARGE
