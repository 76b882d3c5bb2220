"""A buddy allocator that gives out the lowest or the highest pages that fit."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from e820pool.stress.buddy import MAX_ORDER, Buddy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.range_lists import StartEnd

__all__ = ("AddressOrdered",)


class AddressOrdered(Buddy):
    """Pages by address: first fit, as CMA's bitmap does, or from the top down.

    Blocks of every order that is large enough compete, so that small gaps are used
    up before large ones are broken. Kinds of pages are not told apart.
    """

    __slots__ = ("_heaps", "_highest")

    def __init__(self, max_order: int = MAX_ORDER, *, highest: bool = False) -> None:
        super().__init__(max_order)
        self._highest = highest
        # Keys of blocks per order, of runs at the highest; some are gone meanwhile.
        self._heaps: list[list[int]] = [[] for _ in range(max_order + 1)]

    def seed_blocks(self, starts: Iterable[int], order: int, *, own: bool) -> None:  # noqa: ARG002  one kind
        """Make blocks free that have no free buddies."""
        blocks = list(starts)
        super().seed_blocks(blocks, order, own=True)
        size = 1 << order
        self._heaps[order] += [self._key(start, start + size) for start in blocks]
        heapq.heapify(self._heaps[order])

    def seed_run(self, start_pfn: int, end_pfn: int) -> None:
        """Make blocks free; which go first is the order of their addresses."""
        self.free(start_pfn, end_pfn)

    def take_run(self, nr_blocks: int) -> list[StartEnd]:
        """Take blocks for others than depositors: from the other end of memory."""
        if not self._highest:
            return super().take_run(nr_blocks)
        wanted, taken = nr_blocks << self._max_order, []
        while wanted and self._tops:
            start = min(self._tops)
            end = self._tops[start]
            middle = min(end, start + wanted)
            self._drop_run(start)
            if middle < end:
                self._put_tops(middle, end)
            taken.append((start, middle))
            wanted -= middle - start
        self.nr_free -= sum(end - start for start, end in taken)
        return taken

    def _take(self, order: int) -> int | None:
        heads = ((self._head(have), have) for have in range(order, self._max_order + 1))
        tops = [(key, have) for key, have in heads if key is not None]
        if not tops:
            return None
        _, have = min(tops)
        if have == self._max_order:
            start = self._pop_top()
        else:
            start = self._start_of(heapq.heappop(self._heaps[have]), have)
            del self._own[have][start]
        return self._split(start, have, order)

    # Ascending keys are the order in which blocks go: by start, or by end downwards.
    def _key(self, start: int, end: int) -> int:
        return -end if self._highest else start

    def _start_of(self, key: int, order: int) -> int:
        return -key - (1 << order) if self._highest else key

    def _head(self, order: int) -> int | None:
        heap = self._heaps[order]
        while heap and not self._is_free(heap[0], order):
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _is_free(self, key: int, order: int) -> bool:
        if order < self._max_order:
            return self._start_of(key, order) in self._own[order]
        return (-key in self._bottoms) if self._highest else (key in self._tops)

    def _split(self, start: int, have: int, order: int) -> int:
        if not self._highest:
            return super()._split(start, have, order)
        while have > order:
            have -= 1
            self._put(start, have)
            start += 1 << have
        return start

    def _put(self, start: int, order: int) -> None:
        super()._put(start, order)
        self._push(self._key(start, start + (1 << order)), order)

    def _put_tops(self, start: int, end: int) -> StartEnd:
        run = super()._put_tops(start, end)
        self._push(self._key(*run), self._max_order)
        return run

    def _push(self, key: int, order: int) -> None:
        heap = self._heaps[order]
        live = self._own[order] if order < self._max_order else self._tops
        if len(heap) > 2 * len(live) + 64:
            # As long as what is free, whatever came and went.
            heap[:] = {waiting for waiting in heap if self._is_free(waiting, order)} - {
                key
            }
            heapq.heapify(heap)
        heapq.heappush(heap, key)

    def _pop_run(self) -> StartEnd:
        self._head(self._max_order)
        key = heapq.heappop(self._heaps[self._max_order])
        if self._highest:
            start, end = self._bottoms[-key], -key
        else:
            start, end = key, self._tops[key]
        self._drop_run(start)
        return start, end

    def _pop_top(self) -> int:
        start, end = self._pop_run()
        size = 1 << self._max_order
        low, high = (start, end - size) if self._highest else (start + size, end)
        if low < high:
            self._put_tops(low, high)
        return end - size if self._highest else start
