"""Where a kernel is taken to be loaded when no image says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.errors import CapacityError
from e820pool.extents import ByteRangeSet, Span
from e820pool.handoff.placement import Room

if TYPE_CHECKING:
    from e820pool.table import E820Table

__all__ = ("ASSUMED_WINDOW", "assumed_window")

ASSUMED_WINDOW = Span(16 << 20, 64 << 20)
"""Where a kernel without an image at hand is taken to work before it reads a map: its
preferred address, and init_size of a stock 6.1, rounded."""

_ALIGNMENT = 2 << 20


def assumed_window(table: E820Table, taken: ByteRangeSet) -> Span | None:
    """Return :data:`ASSUMED_WINDOW`, or as many bytes in RAM above it; None if none.

    Nothing can be said of KASLR without a window.

    Args:
        table: entries in any order.
        taken: bytes that are no place for a kernel.
    """
    if _is_whole(table) and not taken.overlaps(*ASSUMED_WINDOW):
        return ASSUMED_WINDOW
    low, size = ASSUMED_WINDOW.start, ASSUMED_WINDOW.size
    room, limit = Room.in_table(table, taken), ByteRangeSet.LIMIT
    try:
        at = room.find("the kernel", size, align=_ALIGNMENT, low=low, high=limit)
    except CapacityError:
        return None
    return Span.at(at, size)


# The usual case, which costs no set algebra: one RAM entry, and no other over it.
def _is_whole(table: E820Table) -> bool:
    low, high = ASSUMED_WINDOW
    over = table.overlapping(low, high)
    holds = over.is_of(E820_TYPE_RAM) & (over.entries["addr"] <= low)
    return bool(holds.all()) and bool((over.ends[holds] >= high).any())
