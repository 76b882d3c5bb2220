"""Where a kernel is taken to be loaded when no image says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.errors import CapacityError
from e820pool.extents import ByteRangeSet
from e820pool.handoff.placement import Room, entry_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("ASSUMED_WINDOW", "assumed_window")

ASSUMED_WINDOW = (16 << 20, 64 << 20)
"""Where a kernel without an image at hand is taken to work before it reads a map: its
preferred address, and init_size of a stock 6.1, rounded."""

_ALIGNMENT = 2 << 20


def assumed_window(table: NDArray[Any], taken: ByteRangeSet) -> tuple[int, int] | None:
    """Return :data:`ASSUMED_WINDOW`, or as many bytes in RAM above it; None if none.

    Nothing can be said of KASLR without a window.

    Args:
        table: entries in any order (:data:`~e820pool.abi.e820.E820_DTYPE`).
        taken: bytes that are no place for a kernel.
    """
    is_ram = table["type"] == E820_TYPE_RAM
    if _is_whole(table, is_ram) and not taken.overlaps(*ASSUMED_WINDOW):
        return ASSUMED_WINDOW
    low, high = ASSUMED_WINDOW
    room, limit = Room.in_table(table, taken), ByteRangeSet.LIMIT
    try:
        at = room.find("the kernel", high - low, align=_ALIGNMENT, low=low, high=limit)
    except CapacityError:
        return None
    return at, at + high - low


# The usual case, which costs no set algebra: one RAM entry, and no other over it.
def _is_whole(table: NDArray[Any], is_ram: NDArray[np.bool_]) -> bool:
    low, high = (np.uint64(bound) for bound in ASSUMED_WINDOW)
    starts, ends = entry_bounds(table)
    holds = is_ram & (starts <= low) & (ends >= high)
    return bool(holds.any()) and not bool(
        ((starts < high) & (ends > low) & ~is_ram).any()
    )
