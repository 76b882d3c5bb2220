"""Where a kernel is taken to be loaded when no image says it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.errors import CapacityError
from e820pool.extents import ByteRangeSet
from e820pool.handoff.placement import Room, entry_bounds
from e820pool.handoff.strict import whole_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.handoff.model import Handoff

__all__ = ("ASSUMED_WINDOW", "assumed_window", "with_assumed_window")

ASSUMED_WINDOW = (16 << 20, 64 << 20)
"""Where a kernel without an image at hand is taken to work before it reads a map: its
preferred address, and init_size of a stock 6.1, rounded."""

_ALIGNMENT = 2 << 20


def with_assumed_window(handoff: Handoff) -> Handoff:
    """Return the handoff with a window for its kernel, as a loader would choose it.

    Nothing can be said of KASLR without one. It is :data:`ASSUMED_WINDOW`, or as many
    bytes above it, in RAM outside deposits and the handoff's own parts; where there is
    no such place, or a window is known already, the handoff is as it was.
    """
    if handoff.kernel_window is not None:
        return handoff
    limit = ByteRangeSet.LIMIT
    parts = ByteRangeSet(
        (min(part.addr, limit), min(part.end, limit)) for part in handoff.segments()
    )
    taken = handoff.ledger.extents.to_bytes() | parts
    return replace(handoff, kernel_window=assumed_window(whole_table(handoff), taken))


def assumed_window(table: NDArray[Any], taken: ByteRangeSet) -> tuple[int, int] | None:
    """Return :data:`ASSUMED_WINDOW`, or as many bytes in RAM above it; None if none.

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
