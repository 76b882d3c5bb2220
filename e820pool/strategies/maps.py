"""Strategies for memory maps: any that is valid, and machines to boot on."""

from __future__ import annotations

from hypothesis import strategies as st

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.memory_map import MemoryMap
from e820pool.strategies.tables import any_rows, sorted_rows

__all__ = ("machines", "memory_maps")

_MIB = 1 << 20
# What lies below the BIOS of a PC.
_LOW = (0, 0x9_F000, E820_TYPE_RAM)


@st.composite
def memory_maps(
    draw: st.DrawFn,
    *,
    min_size: int = 1,
    max_size: int = 12,
    overlaps: bool = False,
) -> MemoryMap:
    """Make maps whose entries end below 2^64, so that they can be flattened.

    Args:
        draw: passed by Hypothesis.
        min_size: entries at least, where they do not overlap.
        max_size: entries at most.
        overlaps: also entries in any order that overlap, are empty or end within
            a page; otherwise they are sorted, disjoint and of whole pages.

    >>> from hypothesis import find
    >>> find(memory_maps(), lambda found: len(found.ram_pages()) == 2).rows()
    [(0, 4096, 1), (8192, 4096, 1)]
    """
    clean = sorted_rows(min_size=min_size, max_size=max_size)
    rows = draw(clean | any_rows(max_size=max_size) if overlaps else clean)
    return MemoryMap.of(rows)


@st.composite
def machines(draw: st.DrawFn, *, max_size: int = 6) -> MemoryMap:
    """Make the maps of PCs with RAM below 640 KiB and 64 to 256 MiB of it above 1 MiB.

    Ranges of any type may follow. A handoff for such a machine has place for its parts.

    >>> from hypothesis import find
    >>> find(machines(), lambda found: True).rows()
    [(0, 651264, 1), (1048576, 67108864, 1)]
    """
    first = [_LOW, (_MIB, draw(st.integers(64, 256)) * _MIB, E820_TYPE_RAM)]
    start = sum(first[-1][:2])
    more = draw(sorted_rows(min_size=0, max_size=max_size, unit=2 * _MIB))
    shifted = ((start + addr, size, kind) for addr, size, kind in more)
    return MemoryMap.of([*first, *shifted])
