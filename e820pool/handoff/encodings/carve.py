"""Tables in which the firmware's RAM is cut around deposits, and what fills the gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_DTYPE
from e820pool.sweep import distinct, sweep_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.extents import ByteRangeSet
    from e820pool.memory_map import MemoryMap

__all__ = ("carved_table", "rows_of")


def carved_table(
    memory_map: MemoryMap, ranges: ByteRangeSet, kind: int | None
) -> NDArray[Any]:
    """Return the map, sorted and disjoint, with ``ranges`` of type ``kind``.

    Touching entries of one type are one, as the kernel would join them anyway.

    Args:
        memory_map: the firmware's own.
        ranges: bytes of RAM.
        kind: above the type of RAM; None leaves a gap.

    Raises:
        InputError: an entry of the map reaches 2^64.
    """
    flat = memory_map.flatten().entries
    filled = _unused_type(flat) if kind is None else kind
    addr, size, kinds = sweep_arrays(
        np.concatenate((flat["addr"], ranges.starts)),
        np.concatenate((flat["size"], ranges.ends - ranges.starts)),
        np.concatenate((flat["type"], np.full(len(ranges), filled, np.uint32))),
    )
    table = _table_of_columns(addr, size, kinds)
    return table[kinds != filled] if kind is None else table


def rows_of(ranges: ByteRangeSet, kind: int) -> NDArray[Any]:
    """Return one entry of type ``kind`` for each range."""
    kinds = np.full(len(ranges), kind, np.uint32)
    return _table_of_columns(ranges.starts, ranges.ends - ranges.starts, kinds)


def _table_of_columns(
    addr: NDArray[Any], size: NDArray[Any], kind: NDArray[Any]
) -> NDArray[Any]:
    table = np.empty(addr.size, E820_DTYPE)
    table["addr"], table["size"], table["type"] = addr, size, kind
    return table


# The highest type wins, so one that no entry has cuts holes.
def _unused_type(flat: NDArray[Any]) -> int:
    used = set(distinct(flat["type"]).tolist())
    return next(kind for kind in range((1 << 32) - 1, 1, -1) if kind not in used)
