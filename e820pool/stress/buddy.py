"""A buddy allocator that keeps whole runs: its cost is that of calls, not of RAM.

Below the highest order a free block is one item of that order's list. Blocks of the
highest order are kept as runs of any length, as they never join into larger blocks:
a host of 12 TiB that is mostly free is a handful of runs.

__rmqueue_smallest(), expand(), __free_one_page(), mm/page_alloc.c, 6.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.range_lists import StartEnd

__all__ = ("MAX_ORDER", "Block", "Buddy")

MAX_ORDER = 10
"""The highest order of 2.6.32 to 6.3 (MAX_ORDER - 1 there) and later (4 MiB)."""


class Block(NamedTuple):
    """``2^order`` pages that one allocation returned, or that are free."""

    pfn: int
    order: int


class Buddy:
    """A buddy allocator of blocks of ``2^order`` pages, as the kernel has it.

    The smallest block that fits is split, the low part is given out; of blocks of
    one order the one freed last goes first. An allocation first takes from blocks of
    its own kind (unmovable); with none left it takes the *largest* of the others and
    keeps the rest of that for its kind (__rmqueue_fallback()).

    Attributes:
        nr_free: pages that are free.
    """

    __slots__ = ("_bottoms", "_max_order", "_others", "_own", "_tops", "nr_free")

    def __init__(self, max_order: int = MAX_ORDER) -> None:
        self._max_order = max_order
        # Per order below the highest: first PFN to nothing, in order of freeing.
        self._own: list[dict[int, None]] = [{} for _ in range(max_order)]
        self._others: list[dict[int, None]] = [{} for _ in range(max_order)]
        # Runs of blocks of the highest order: end to start, start to end.
        self._bottoms: dict[int, int] = {}
        self._tops: dict[int, int] = {}
        self.nr_free = 0

    def alloc_order(self, order: int, owner: int = 0) -> int | None:  # noqa: ARG002  no owners here
        """Return the first PFN of ``2^order`` pages, None when there are none."""
        start = self._take(order) if order <= self._max_order else None
        if start is not None:
            self.nr_free -= 1 << order
        return start

    def release(self, base_pfn: int, nr_pages: int) -> bool:
        """Take a run of pages back: the blocks are those of page by page."""
        self.free(base_pfn, base_pfn + nr_pages)
        return True

    def free(self, start_pfn: int, end_pfn: int) -> None:
        """Take back ``[start_pfn, end_pfn)``, whatever blocks that makes."""
        self.nr_free += end_pfn - start_pfn
        top_mask = (1 << self._max_order) - 1
        while start_pfn < end_pfn:
            order = (end_pfn - start_pfn).bit_length() - 1
            if start_pfn:
                order = min(order, (start_pfn & -start_pfn).bit_length() - 1)
            if order >= self._max_order:
                whole_end = end_pfn & ~top_mask
                self._put_tops(start_pfn, whole_end)
                start_pfn = whole_end
            else:
                self._free_block(start_pfn, order)
                start_pfn += 1 << order

    def seed_blocks(self, starts: Iterable[int], order: int, *, own: bool) -> None:
        """Make blocks free without free buddies, of one's own kind or another."""
        blocks = dict.fromkeys(starts)
        self.nr_free += len(blocks) << order
        (self._own if own else self._others)[order].update(blocks)

    def seed_run(self, start_pfn: int, end_pfn: int) -> None:
        """Make blocks of the highest order free that go together, the next ones first.

        They are used before what was free already, whatever they touch.
        """
        self.nr_free += end_pfn - start_pfn
        self._tops[start_pfn], self._bottoms[end_pfn] = end_pfn, start_pfn

    def take_run(self, nr_blocks: int) -> list[StartEnd]:
        """Take blocks of the highest order in as few runs as come first.

        What guests get as their memory. Returns ``(start_pfn, end_pfn)``, in all
        fewer pages than asked for when no more are free.
        """
        wanted, taken = nr_blocks << self._max_order, []
        while wanted and self._tops:
            start, end = self._pop_run()
            middle = min(end, start + wanted)
            if middle < end:
                self._put_tops(middle, end)
            taken.append((start, middle))
            wanted -= middle - start
        self.nr_free -= sum(end - start for start, end in taken)
        return taken

    def take_small(self, nr_pages: int) -> list[StartEnd]:
        """Take pages from blocks below the highest order, single pages first.

        What a guest gets where no large blocks are left: pages of another kind than
        the kernel's own, the smallest block first, then the largest of the kernel's
        (__rmqueue(), MIGRATE_MOVABLE). Returns ``(start_pfn, end_pfn)``.
        """
        taken, orders = [], range(self._max_order)
        others = [(order, self._others[order]) for order in orders]
        own = [(order, self._own[order]) for order in reversed(orders)]
        for order, blocks in (*others, *own):
            while nr_pages and blocks:
                start, _ = blocks.popitem()
                end, used = start + (1 << order), min(1 << order, nr_pages)
                self.nr_free -= 1 << order
                if start + used < end:
                    self.free(start + used, end)
                taken.append((start, start + used))
                nr_pages -= used
        return taken

    def take_aligned(self, order: int) -> int | None:
        """Take ``2^order`` contiguous pages of any order, aligned; None if none are.

        The lowest fit, as alloc_contig_pages() looks for it.
        """
        if order <= self._max_order:
            return self.alloc_order(order)
        start = self.find_aligned(order)
        if start is not None:
            self.take_span(start, start + (1 << order))
        return start

    def find_aligned(self, order: int) -> int | None:
        """Return where ``2^order`` aligned pages are free, the lowest; None if none."""
        size = 1 << order
        for start in sorted(self._tops):
            aligned = -(-start // size) * size
            if aligned + size <= self._tops[start]:
                return aligned
        for have in range(order, self._max_order):
            for lists in (self._own, self._others):
                if lists[have]:
                    return next(iter(lists[have]))
        return None

    def take_span(self, start_pfn: int, end_pfn: int) -> bool:
        """Take ``[start_pfn, end_pfn)`` if all of it is free.

        As alloc_contig_range() does, where nothing has to be migrated for it.
        """
        for start, end in self._tops.items():
            if start <= start_pfn and end_pfn <= end:
                self._cut_run(start, end, start_pfn, end_pfn)
                return True
        taken: list[StartEnd] = []
        at = start_pfn
        while at < end_pfn:
            order = (end_pfn - at).bit_length() - 1
            order = min(order, (at & -at).bit_length() - 1 if at else order)
            if not self._take_block(at, min(order, self._max_order)):
                for begin, stop in taken:
                    self.free(begin, stop)
                return False
            taken.append((at, at + (1 << min(order, self._max_order))))
            at = taken[-1][1]
        return True

    def free_blocks(self) -> Iterator[Block]:
        """Yield every free block, those of runs one by one."""
        for order in range(self._max_order):
            for start in (*self._own[order], *self._others[order]):
                yield Block(start, order)
        for start, end in self._tops.items():
            for at in range(start, end, 1 << self._max_order):
                yield Block(at, self._max_order)

    def counts(self) -> tuple[int, ...]:
        """Return free blocks per order, as a line of /proc/buddyinfo does."""
        below = [
            len(own) + len(others)
            for own, others in zip(self._own, self._others, strict=True)
        ]
        tops = sum(end - start for start, end in self._tops.items())
        return (*below, tops >> self._max_order)

    # An aligned block, out of a larger one or out of a run.
    def _take_block(self, base: int, order: int) -> bool:
        for have in range(order, self._max_order):
            start = base >> have << have
            for lists in (self._own, self._others):
                if start in lists[have]:
                    del lists[have][start]
                    self._cut(start, start + (1 << have), base, base + (1 << order))
                    return True
        for start, end in self._tops.items():
            if start <= base < end:
                self._cut_run(start, end, base, base + (1 << order))
                return True
        return False

    # What is left of a run keeps its place in the order of freeing.
    def _cut_run(self, start: int, end: int, base: int, stop: int) -> None:
        after = list(self._tops)
        after = after[after.index(start) + 1 :]
        self._drop_run(start)
        self._cut(start, end, base, stop)
        for key in after:
            self._tops[key] = self._tops.pop(key)

    # What is left of a block or of a run is free again.
    def _cut(self, start: int, end: int, base: int, stop: int) -> None:
        self.nr_free -= end - start
        for first, last in ((start, base), (stop, end)):
            if first < last:
                self.free(first, last)

    def _take(self, order: int) -> int | None:
        own = self._own
        for have in range(order, self._max_order):
            if own[have]:
                start, _ = own[have].popitem()
                return self._split(start, have, order)
        if self._tops:
            return self._split(self._pop_top(), self._max_order, order)
        for have in range(self._max_order - 1, order - 1, -1):
            if self._others[have]:
                start, _ = self._others[have].popitem()
                return self._split(start, have, order)
        return None

    def _split(self, start: int, have: int, order: int) -> int:
        while have > order:
            have -= 1
            self._put(start + (1 << have), have)
        return start

    def _free_block(self, start: int, order: int) -> None:
        while order < self._max_order:
            buddy = start ^ (1 << order)
            for lists in (self._own, self._others):
                if buddy in lists[order]:
                    del lists[order][buddy]
                    break
            else:
                self._put(start, order)
                return
            start &= ~(1 << order)
            order += 1
        self._put_tops(start, start + (1 << order))

    def _put(self, start: int, order: int) -> None:
        self._own[order][start] = None

    def _put_tops(self, start: int, end: int) -> StartEnd:
        # A run that touches others becomes one with them; that one is returned.
        before = self._bottoms.pop(start, None)
        if before is not None:
            del self._tops[before]
            start = before
        after = self._tops.pop(end, None)
        if after is not None:
            del self._bottoms[after]
            end = after
        self._tops[start], self._bottoms[end] = end, start
        return start, end

    def _drop_run(self, start: int) -> None:
        del self._bottoms[self._tops.pop(start)]

    def _pop_run(self) -> StartEnd:
        start, end = self._tops.popitem()
        del self._bottoms[end]
        return start, end

    def _pop_top(self) -> int:
        # The lowest block of the run freed last.
        start, end = self._pop_run()
        middle = start + (1 << self._max_order)
        if middle < end:
            self._tops[middle], self._bottoms[end] = end, middle
        return start
