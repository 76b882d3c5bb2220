"""memblock's array of memory regions: 128 slots, doubled in low memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SIZE, Span

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("INIT_REGIONS", "MemoryArray", "array_bytes")

INIT_REGIONS = 128
"""INIT_MEMBLOCK_REGIONS: slots that need no memory (3.10 to 7.3)."""

# sizeof(struct memblock_region) on 64 bit, with and without NUMA.
_REGION_BYTES = 24
# memblock.current_limit until memory is mapped: ISA_END_ADDRESS.
_LIMIT = 1 << 20


class MemoryArray:
    """Hold sorted regions that neither overlap nor touch.

    Attributes:
        spans: the regions.
        slots: how many it has room for, None without limit.
        room: where the array lies once it has grown, None before.
    """

    __slots__ = ("_reserved", "room", "slots", "spans")

    def __init__(
        self, reserved: Iterable[Span], limit: int | None = INIT_REGIONS
    ) -> None:
        """Make an empty array.

        Args:
            reserved: what a larger array must not be put over.
            limit: slots at first, None for an array without limit.
        """
        self.spans: list[Span] = []
        self._reserved = list(reserved)
        self.slots = limit
        # The place of the array that is freed when the next one is there.
        self.room: Span | None = None

    def add(self, start: int, end: int) -> bool:
        """Add a region; return False when there is no slot for it.

        memblock_add_range(): slots for all new pieces are needed before
        neighbours are joined. Linux 6.1 mm/memblock.c.
        """
        if start >= end:
            return True
        spans = self.spans
        first = bisect_left(spans, start, key=lambda s: s[1])
        last = bisect_right(spans, end, key=lambda s: s[0])
        pieces = self._pieces(start, end, first, last)
        if not self._make_room(len(spans) + pieces):
            return False
        if first < last:
            start = min(start, spans[first][0])
            end = max(end, spans[last - 1][1])
        spans[first:last] = [Span(start, end)]
        return True

    def split_in_three(self) -> None:
        """Make room for two more regions, as marking a range needs at most.

        Where there is no room nothing is lost. memblock_isolate_range(), Linux 7.3
        mm/memblock.c.
        """
        self._make_room(len(self.spans) + 2)

    # How many parts of [start, end) no region covers yet.
    def _pieces(self, start: int, end: int, first: int, last: int) -> int:
        count = 0
        for low, high in self.spans[first:last]:
            if low >= end:
                break
            if high <= start:
                continue
            count += low > start
            start = min(high, end)
        return count + (start < end)

    def _make_room(self, needed: int) -> bool:
        while self.slots is not None and needed > self.slots:
            place = self._find(array_bytes(2 * self.slots))
            if place is None:
                return False
            if self.room is not None:
                self._reserved.remove(self.room)
            self._reserved.append(place)
            self.room = place
            self.slots *= 2
        return True

    # Top down, in memory that was added before and is not reserved; never page 0.
    # memblock_find_in_range().
    def _find(self, size: int) -> Span | None:
        for low, high in reversed(self._free()):
            start = (high - size) & ~(PAGE_SIZE - 1)
            if high >= size and start >= low:
                return Span.at(start, size)
        return None

    def _free(self) -> list[Span]:
        free = [
            Span(max(low, PAGE_SIZE), min(high, _LIMIT))
            for low, high in self.spans
            if low < _LIMIT
        ]
        for low, high in self._reserved:
            free = [piece for span in free for piece in _less(span, low, high)]
        return free


def _less(span: Span, low: int, high: int) -> list[Span]:
    start, end = span
    pieces = [Span(start, min(end, low)), Span(max(start, high), end)]
    return [piece for piece in pieces if piece.start < piece.end]


def array_bytes(slots: int) -> int:
    """Return the size of an array of so many slots, in whole pages.

    memblock_double_array().
    """
    return (slots * _REGION_BYTES + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)
