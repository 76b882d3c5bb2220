"""Arenas that grow where they lie: few entries, little RAM beside what is deposited.

    home, up to 1 GiB   [ arena, RESERVED ######## | chunk | free or movable ....... ]
                          lowest pages first         next alloc_contig_range()
                        [ ####### . #### | empty ]   given back from either end

A kernel can do all of it without a change to its allocator: alloc_contig_pages() finds
a home's first chunk, alloc_contig_range() the one that follows the last (it migrates
what is movable away), free_contig_range() gives it back; 7.3 exports all three
(mm/page_alloc.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from e820pool.errors import CapacityError
from e820pool.stress.ordered import AddressOrdered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.range_lists import StartEnd
    from e820pool.stress.entries import EntryCount
    from e820pool.stress.host import HostPages

__all__ = ("GrownArenas", "MovableZone")


# Arenas are of 64 KiB at least.
_LEAST = 4


class _Limits(NamedTuple):
    end: int
    home_end: int


class GrownArenas:
    """Arenas that grow by chunks within homes, and give out their pages.

    A chunk is taken when no arena has room: what follows an arena in its home, else
    the first of a new home. It is a quarter of what the arenas have, of one step at
    least and of one home at most: so their number grows with the logarithm of what
    is deposited, and a quarter stays empty at most while nothing is withdrawn. Where
    the host has no step left an arena is as large as can be had, and below 64 KiB pages
    come as they do today, one entry each.
    """

    __slots__ = ("_entries", "_free", "_home", "_host", "_limits", "_step")

    def __init__(
        self, host: HostPages, entries: EntryCount, *, step: int, home: int
    ) -> None:
        self._host, self._entries = host, entries
        self._step, self._home = step, home
        # Free pages of all arenas; the steps of an arena that follow each other are
        # one run in it when they are empty.
        self._free = AddressOrdered(step)
        # By where an arena starts.
        self._limits: dict[int, _Limits] = {}

    def alloc_order(self, order: int, node: int) -> int | None:
        """Return the first PFN of ``2^order`` pages; None when there are none."""
        start = self._free.alloc_order(order)
        if start is None and order <= self._step and self._grow(order, node):
            start = self._free.alloc_order(order)
        # The last resort is what the driver does today.
        return self._host.alloc_order(order, node) if start is None else start

    def deposited(self, extents: Iterable[StartEnd]) -> None:
        """Count what lies in no arena: those are RESERVED already."""
        for start, end in extents:
            if not self._has(start):
                self._entries.add(start, end)

    def withdrawn(self, start_pfn: int, end_pfn: int) -> None:
        """Take back an extent that was deposited as it is."""
        if self._has(start_pfn):
            self._free.free(start_pfn, end_pfn)
            self._shrink(start_pfn)
        else:
            self._entries.remove(start_pfn, end_pfn)
            self._host.free(start_pfn, end_pfn)

    def withdrawn_page(self, start_pfn: int, end_pfn: int, pfn: int) -> None:
        """Take back one page of an extent; what is left of it stays deposited."""
        if self._has(start_pfn):
            self.withdrawn(pfn, pfn + 1)
            return
        self._entries.remove(start_pfn, end_pfn)
        parts = ((start_pfn, pfn), (pfn + 1, end_pfn))
        self._entries.add_all((start, end) for start, end in parts if start < end)
        self._host.free(pfn, pfn + 1)

    def give_back(self, start_pfn: int, end_pfn: int) -> None:
        """Take back pages that were given out and not deposited."""
        if self._has(start_pfn):
            self.withdrawn(start_pfn, end_pfn)
        else:
            self._host.free(start_pfn, end_pfn)

    def _has(self, pfn: int) -> bool:
        return self._arena_of(pfn) is not None

    # Few arenas: one a home, a home being 1 GiB.
    def _arena_of(self, pfn: int) -> int | None:
        for start, (end, _) in self._limits.items():
            if start <= pfn < end:
                return start
        return None

    def _grow(self, order: int, node: int) -> bool:
        held = sum(end - start for start, (end, _) in self._limits.items())
        most = min(max((held >> 2).bit_length() - 1, self._step), self._home)
        for chunk in range(most, self._step - 1, -1):
            size = 1 << chunk
            for start, (end, limit) in self._limits.items():
                if end + size <= limit and self._host.take_span(end, end + size):
                    self._extend(start, end, end + size, limit)
                    return True
        return self._settle(max(order, _LEAST), most, node)

    # A new home where as much as possible is free: 1 GiB, or half, or half of that.
    def _settle(self, least: int, most: int, node: int) -> bool:
        for order in range(self._home, least - 1, -1):
            start = self._host.find_aligned(order, node)
            if start is None:
                continue
            end = start + (1 << min(order, most))
            if self._host.take_span(start, end):
                self._extend(start, start, end, start + (1 << order))
                return True
        return False

    # An arena is counted as one extent, however it grew.
    def _extend(self, start: int, old_end: int, end: int, limit: int) -> None:
        if start < old_end:
            self._entries.remove(start, old_end)
        self._entries.add(start, end)
        self._free.free(old_end, end)
        self._limits[start] = _Limits(end, limit)

    def _shrink(self, pfn: int) -> None:
        start = self._arena_of(pfn)
        if start is None:
            return
        first, (last, limit) = start, self._limits.pop(start)
        size = min(1 << self._step, last - first)
        end = last
        while end > start and self._free.take_span(end - size, end):
            end -= size
        while start < end and self._free.take_span(start, start + size):
            start += size
        if (start, end) == (first, last):
            self._limits[first] = _Limits(last, limit)
            return
        self._entries.remove(first, last)
        if start < end:
            self._limits[start] = _Limits(end, limit)
            self._entries.add(start, end)
        for base, stop in ((first, start), (end, last)):
            if base < stop:
                self._left(base, stop)

    def _left(self, start: int, end: int) -> None:
        self._host.free(start, end)


class MovableZone(GrownArenas):
    """Let one arena grow in a movable zone, of which nobody else pins pages.

    The zone is set up at boot (``movablecore=``) and serves page cache and programs
    all the time. What is pinned for long, as guests' memory is by 7.3's drivers/hv
    (mshv_regions.c, FOLL_LONGTERM), and what kernels allocate for themselves leaves
    it (mm/gup.c), so that the next step can always be had.
    """

    __slots__ = ("_zone",)

    def __init__(
        self, host: HostPages, entries: EntryCount, *, step: int, zone: int
    ) -> None:
        super().__init__(host, entries, step=step, home=zone)
        start = host.take_aligned(zone)
        if start is None:
            raise CapacityError(
                f"the host has no room for a movable zone of {1 << zone:#x} "
                "contiguous free pages"
            )
        self._zone = AddressOrdered(step)
        self._zone.free(start, start + (1 << zone))

    def _grow(self, order: int, node: int) -> bool:  # noqa: ARG002  one zone for all
        start = self._zone.alloc_order(self._step)
        if start is None:
            return False
        before = (at for at, (end, _) in self._limits.items() if end == start)
        first = next(before, start)
        end = start + (1 << self._step)
        self._extend(first, start, end, end)
        return True

    def _left(self, start: int, end: int) -> None:
        self._zone.free(start, end)
