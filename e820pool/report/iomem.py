"""A map in the form of /proc/iomem."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from e820pool.type_words import resource_name

if TYPE_CHECKING:
    from e820pool.memory_map import MemoryMap

__all__ = ("iomem_text",)


def iomem_text(memory_map: MemoryMap) -> str:
    """Return one line an entry, sorted, end inclusive (kernel/resource.c, r_show()).

    Resources never overlap and are never empty: a map whose entries do is
    flattened first. Only the map's own entries are written, no devices.

    Raises:
        InputError: entries overlap and one of them reaches 2^64.
    """
    rows = _sorted_rows(memory_map)
    if any(lower[0] + lower[1] > upper[0] for lower, upper in pairwise(rows)):
        rows = _sorted_rows(memory_map.flatten())
    return "".join(
        f"{addr:08x}-{addr + size - 1:08x} : {resource_name(kind)}\n"
        for addr, size, kind in rows
    )


def _sorted_rows(memory_map: MemoryMap) -> list[tuple[int, int, int]]:
    return sorted(row for row in memory_map.rows() if row[1])
