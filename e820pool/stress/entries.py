"""How many entries a table needs, kept up to date one deposit at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE, ExtentSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.memory_map import MemoryMap
    from e820pool.range_lists import StartEnd

__all__ = ("EntryCount",)

_BARE_FROM_PFN = 1 << (32 - PAGE_SHIFT)


class EntryCount:
    """The number of entries under the encodings ``split`` and ``hybrid``.

    Extents are added and removed as they were; those that touch share an entry. A
    change costs the same whatever is there already.

    Attributes:
        nr_pages: pages in all extents.
        nr_runs: extents that do not touch, which is how many ``memmap=`` names.
        split: entries of the encoding ``split``.
        hybrid: entries of the encoding ``hybrid``.
        ram_runs: entries of RAM, in both encodings.
    """

    __slots__ = (
        "_edges",
        "_ends",
        "_starts",
        "hybrid",
        "nr_pages",
        "nr_runs",
        "ram_runs",
        "split",
    )

    def __init__(self, memory_map: MemoryMap) -> None:
        flat = memory_map.flatten().entries
        self._starts: set[int] = set()
        self._ends: set[int] = set()
        # Page at which a run of RAM begins or ends, to whether RESERVED is beyond.
        self._edges: dict[tuple[int, bool], bool] = {}
        self.nr_pages = self.nr_runs = 0
        self.split = self.hybrid = int(flat.size)
        self.ram_runs = int(np.count_nonzero(flat["type"] == E820_TYPE_RAM))
        reserved_starts, reserved_ends = set(), set()
        for addr, size, kind in flat.tolist():
            if kind == E820_TYPE_RESERVED:
                reserved_starts.add(addr)
                reserved_ends.add(addr + size)
        for addr, size, kind in flat.tolist():
            if kind != E820_TYPE_RAM:
                continue
            # RAM that begins within a page keeps an entry before any deposit.
            for edge, is_start, beyond in (
                (addr, True, reserved_ends),
                (addr + size, False, reserved_starts),
            ):
                if edge % PAGE_SIZE == 0:
                    self._edges[edge >> PAGE_SHIFT, is_start] = edge in beyond

    def add(self, start_pfn: int, end_pfn: int) -> None:
        """Count ``[start_pfn, end_pfn)``, which lies in one run of RAM."""
        for start, end in _parts(start_pfn, end_pfn):
            joins = (start in self._ends, end in self._starts)
            self._starts.add(start)
            self._ends.add(end)
            self._change(start, end, joins, 1)

    def remove(self, start_pfn: int, end_pfn: int) -> None:
        """Stop counting an extent that was added as it is."""
        for start, end in _parts(start_pfn, end_pfn):
            self._starts.remove(start)
            self._ends.remove(end)
            joins = (start in self._ends, end in self._starts)
            self._change(start, end, joins, -1)

    def add_all(self, extents: Iterable[StartEnd]) -> None:
        """Count several extents."""
        for start, end in extents:
            self.add(start, end)

    def extents(self) -> ExtentSet:
        """Return all pages that are counted; its ranges are the runs."""
        starts = np.fromiter(self._starts, np.uint64, len(self._starts))
        ends = np.fromiter(self._ends, np.uint64, len(self._ends))
        starts.sort()
        ends.sort()
        return ExtentSet.from_bounds(starts, ends)

    def _change(
        self, start: int, end: int, joins: tuple[bool, bool], sign: int
    ) -> None:
        # A run splits RAM and adds itself, except where it touches the end of RAM
        # or, for itself, what is RESERVED there already.
        at_start = self._edges.get((start, True))
        at_end = self._edges.get((end, False))
        runs = 1 - joins[0] - joins[1]
        ram = runs - (at_start is not None) - (at_end is not None)
        own = runs - bool(at_start) - bool(at_end)
        self.nr_pages += sign * (end - start)
        self.nr_runs += sign * runs
        self.ram_runs += sign * ram
        self.split += sign * (ram + own)
        if start >= _BARE_FROM_PFN:
            own = 0
        elif end == _BARE_FROM_PFN:
            # A deposit that follows has no entry to share.
            own += joins[1]
        self.hybrid += sign * (ram + own)


# The two encodings differ from 4 GiB on, so an extent across it is counted as two.
def _parts(start: int, end: int) -> tuple[StartEnd, ...]:
    if start < _BARE_FROM_PFN < end:
        return (start, _BARE_FROM_PFN), (_BARE_FROM_PFN, end)
    return ((start, end),)
