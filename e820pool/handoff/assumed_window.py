"""Where a kernel is taken to be loaded when no image says it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.extents import ByteRangeSet
from e820pool.handoff.strict import whole_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.handoff.model import Handoff

__all__ = ("ASSUMED_WINDOW", "with_assumed_window")

ASSUMED_WINDOW = (16 << 20, 64 << 20)
"""Where a kernel without an image at hand is taken to work before it reads a map: its
preferred address, and init_size of a stock 6.1, rounded."""

_ALIGNMENT = 2 << 20
_U64_MAX = (1 << 64) - 1


def with_assumed_window(handoff: Handoff) -> Handoff:
    """Return the handoff with a window for its kernel, as a loader would choose it.

    Nothing can be said of KASLR without one. It is :data:`ASSUMED_WINDOW`, or as many
    bytes above it, in RAM outside deposits and the handoff's own parts; where there is
    no such place, or a window is known already, the handoff is returned as it is.
    """
    if handoff.kernel_window is not None:
        return handoff
    low, high = ASSUMED_WINDOW
    for start, end in _free_ram(handoff):
        at = max(low, -(-start // _ALIGNMENT) * _ALIGNMENT)
        if at + high - low <= end:
            return replace(handoff, kernel_window=(at, at + high - low))
    return handoff


def _free_ram(handoff: Handoff) -> ByteRangeSet:
    table = whole_table(handoff)
    is_ram = table["type"] == E820_TYPE_RAM
    parts = ByteRangeSet((part.addr, part.end) for part in handoff.segments())
    free = _bytes_of(table[is_ram]) - _bytes_of(table[~is_ram])
    return free - handoff.ledger.extents.to_bytes() - parts


# What a wrapping entry names is nowhere near a window.
def _bytes_of(table: NDArray[Any]) -> ByteRangeSet:
    starts = table["addr"].astype(np.uint64)
    ends = starts + np.minimum(table["size"], np.uint64(_U64_MAX) - starts)
    return ByteRangeSet.from_bounds(starts, ends)
