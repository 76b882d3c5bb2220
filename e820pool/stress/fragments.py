"""Where free blocks lie on a host of which only their numbers are known.

/proc/buddyinfo says how many blocks of each order are free, not where. They are laid
out at random, by a seed, such that the numbers hold: a block's buddy is never free,
as the two would be one block.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from e820pool.errors import InputError
from e820pool.stress.buddy import MAX_ORDER, Block

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from e820pool.extents import ExtentSet
    from e820pool.range_lists import StartCount
    from e820pool.stress.buddy import Buddy
    from e820pool.stress.draws import Draws

    U64 = NDArray[np.uint64]
    I64 = NDArray[np.int64]

__all__ = ("MAX_CLUSTERS", "FreeCounts", "lay_out")

_T = TypeVar("_T")

_TOP_PAGES = 1 << MAX_ORDER
MAX_CLUSTERS = 64
"""Runs into which the blocks in use are gathered: memory in use comes in clusters,
and cost must not grow with RAM."""

# One in so many blocks of a run of free ones was freed at another time than the next:
# guests of 6.1 used 26 and 21 runs in 35 and 36 parts.
_CUT_OF = 8
# The name of draws.
_TURNS = 1 << 8
# Rounds of drawing places for the blocks of one order before the zone counts as full.
_ROUNDS = 64
# Up to so many parents all places are looked at, beyond they are drawn.
_ENUMERATED = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeCounts:
    """How many blocks are free, one count an order up to :data:`MAX_ORDER`.

    Attributes:
        own: of the kind that a kernel allocates for itself (unmovable).
        others: of all other kinds.
    """

    own: tuple[int, ...]
    others: tuple[int, ...]

    def total(self, order: int) -> int:
        """Return the free blocks of one order, of all kinds."""
        return sum(
            counts[order] for counts in (self.own, self.others) if order < len(counts)
        )


class _Slots(NamedTuple):
    # The aligned blocks of the highest order that are all RAM, numbered through:
    # those with numbers from first[i] on lie from pfn[i] on, without a gap. Numbers
    # from whole on are blocks that are RAM in part, one by one.
    first: I64
    pfn: U64
    whole: int

    def pfns(self, numbers: I64) -> U64:
        run = np.searchsorted(self.first, numbers, side="right") - 1
        inside = (numbers - self.first[run]).astype(np.uint64)
        return self.pfn[run] + inside * np.uint64(_TOP_PAGES)

    @property
    def total(self) -> int:
        # Each partial block is a run of its own.
        return self.whole + int((self.first >= self.whole).sum())


def lay_out(
    buddy: Buddy,
    ram: ExtentSet,
    counts: FreeCounts,
    draws: Draws,
    max_clusters: int = MAX_CLUSTERS,
    *,
    is_seen: bool = False,
) -> None:
    """Free blocks in ``buddy`` so that it has these counts, within ``ram``.

    Args:
        buddy: an empty allocator of the usual highest order.
        ram: the zone's pages.
        counts: how many blocks of each order; what RAM is left is in use.
        draws: decides the places.
        max_clusters: runs of free blocks of the highest order, at most.
        is_seen: the counts are a real host's: small blocks lie in gaps, and runs are
            used a part at a time, the longest one last.

    Raises:
        InputError: the zone has no room for so many free blocks.
    """
    slots = _slots_of(ram)
    free_tops = counts.total(MAX_ORDER)
    if free_tops > slots.whole:
        raise InputError(
            f"{free_tops:#x} blocks of order {MAX_ORDER} are said to be free: the zone "
            f"has {slots.whole:#x}"
        )
    free_runs, used = _clusters(
        free_tops, max_clusters, slots, draws.fork(0), is_seen=is_seen
    )
    parts = _in_turn(free_runs, draws.fork(_TURNS)) if is_seen else free_runs
    for first, count in parts:
        _free_slots(buddy, slots, first, count, is_seen=is_seen)
    room = _Room(ram=ram, slots=slots, used=used, parts=slots.total - free_tops)
    own = [*counts.own[:MAX_ORDER], *[0] * (MAX_ORDER - len(counts.own))]
    others = [*counts.others[:MAX_ORDER], *[0] * (MAX_ORDER - len(counts.others))]
    if is_seen:
        own_parts = _first_runs(parts, sum(counts.own[MAX_ORDER:]))
        ends = _ends_of(room, free_runs, own_parts)
        # Where blocks in use are too few for it, the kinds do not matter.
        with contextlib.suppress(InputError):
            _seed_seen(buddy, room, ends, (own, others), draws)
            return
    taken: list[tuple[int, I64]] = []
    for order in reversed(range(MAX_ORDER)):
        wanted = own[order] + others[order]
        if wanted:
            numbers = _places(wanted, order, room, taken, draws.fork(order + 1))
            starts = room.pfns(numbers, order).tolist()
            buddy.seed_blocks(starts[: own[order]], order, own=True)
            buddy.seed_blocks(starts[own[order] :], order, own=False)
            taken.append((order, np.sort(numbers)))


def _in_turn(free_runs: Sequence[StartCount], draws: Draws) -> list[StartCount]:
    # Parts of runs in the order of freeing. Lists are last in, first out: what nobody
    # has used yet is the longest run and goes last; of the others blocks were freed a
    # few at a time, here and there.
    longest = max(free_runs, key=lambda run: run[1], default=(0, 0))
    parts: list[StartCount] = []
    for first, count in free_runs:
        if first != longest[0]:
            cuts = draws.many_below(_CUT_OF, count - 1).tolist()
            edges = [0, *(at for at, cut in enumerate(cuts, 1) if not cut), count]
            parts += [(first + low, high - low) for low, high in pairwise(edges)]
    return [longest, *_shuffled(parts, draws)] if free_runs else []


def _shuffled(items: Sequence[_T], draws: Draws) -> list[_T]:
    keys = draws.many_below(1 << 63, len(items))
    return [items[at] for at in np.argsort(keys, kind="stable").tolist()]


def _first_runs(parts: Sequence[StartCount], nr_blocks: int) -> list[StartCount]:
    # The parts that go first, of so many blocks or just more.
    taken: list[StartCount] = []
    for first, count in reversed(parts):
        if nr_blocks <= 0:
            break
        taken.append((first, count))
        nr_blocks -= count
    return taken


class _Gap(NamedTuple):
    # What is free between two pages in use: one block of the highest order, of lower
    # orders one below it or none, and one above it or none.
    order: int
    below: Sequence[int]
    above: Sequence[int]

    @property
    def room_order(self) -> int:
        # The block begins in the middle of an aligned area; of the largest at its
        # start, with nothing below.
        return min(self.order + 2, MAX_ORDER)

    @property
    def is_at_start(self) -> bool:
        return self.order + 2 > MAX_ORDER

    def blocks(self, area: int) -> Iterator[Block]:
        start = area + (0 if self.is_at_start else 2 << self.order)
        yield Block(start, self.order)
        yield from _outwards(start, self.below, is_down=True)
        yield from _outwards(start + (1 << self.order), self.above, is_down=False)


class _End(NamedTuple):
    # Where a run of free blocks of the highest order ends, and what else is free there.
    pfn: int
    is_below: bool  # what is free goes on below the run
    is_own: bool
    side: list[int]


# Blocks of falling orders, each beside the one before.
def _outwards(at: int, orders: Sequence[int], *, is_down: bool) -> Iterator[Block]:
    for order in orders:
        at -= is_down << order
        yield Block(at, order)
        at += (not is_down) << order


def _spread(counts: Sequence[int], sides: list[list[int]], draws: Draws) -> list[_Gap]:
    # Gaps that have these blocks in all, but for those that go to ends of runs. What is
    # free begins and ends at any page: by the digits of both ends it has a block of
    # each lower order on either side or has none, one as likely as the other. Where an
    # order has fewer blocks than that, the other ends are aligned, and have no lower
    # blocks either. By the blocks of 2 MiB ends were counted: they are there.
    gaps: list[_Gap] = []
    for order in reversed(range(MAX_ORDER)):
        count = counts[order]
        sides = _shuffled(sides, draws.fork(order))[: 2 * count]
        at_sides = (len(sides) + draws.below(2)) // 2
        if order == MAX_ORDER - 1 and count <= len(sides):
            at_sides = count
        at_sides = min(at_sides, count)
        for side in sides[:at_sides]:
            side.append(order)
        for _ in range(count - at_sides):
            below, above = list[int](), list[int]()
            gaps.append(_Gap(order, below, above))
            sides += [above] if gaps[-1].is_at_start else [below, above]
    return gaps


def _ends_of(
    room: _Room,
    free_runs: Sequence[StartCount],
    own: Sequence[StartCount],
) -> dict[int, _End]:
    # Ends of free runs, by the block in use there. Where two runs have one block
    # between them, the first one counts. Runs that are partly the kernel's own have
    # its own small blocks beside them.
    in_use = room.slots.whole - sum(count for _, count in free_runs)
    ends: dict[int, _End] = {}
    for first, count in free_runs:
        is_own = any(first <= slot < first + count for slot, _ in own)
        for slot, is_below in ((first - 1, True), (first + count, False)):
            number = room.used.number_of(slot)
            if number is not None and number not in ends and number < in_use:
                pfn = int(room.slots.pfns(np.array([slot]))[0])
                pfn += _TOP_PAGES if is_below else 0
                ends[number] = _End(pfn, is_below, is_own, [])
    return ends


def _seed_seen(
    buddy: Buddy,
    room: _Room,
    ends: Mapping[int, _End],
    counts: tuple[Sequence[int], Sequence[int]],
    draws: Draws,
) -> None:
    own, others = counts
    blocks: list[tuple[Block, bool]] = []
    in_use = room.parts - (room.slots.total - room.slots.whole)
    # As many as the zone has blocks in use: no list of Python's.
    slots = np.argsort(draws.fork(1).many_below(1 << 63, in_use), kind="stable")
    slots = slots[~np.isin(slots, list(ends))]
    # The block that was split last has one block of each order left, without a gap:
    #     [ in use | order 0 | 1 | - 2 - | --- 3 --- | ...    expand(), mm/page_alloc.c
    for last in room.pfns(slots[:1], MAX_ORDER).tolist():
        blocks += [
            (Block(last + (1 << at), at), True) for at, have in enumerate(own) if have
        ]
        own = [max(have - 1, 0) for have in own]
    by_room: list[list[tuple[_Gap, bool]]] = [[] for _ in range(MAX_ORDER + 1)]
    for is_own, kind in ((True, own), (False, others)):
        sides = [end.side for end in ends.values() if end.is_own == is_own]
        for gap in _spread(kind, sides, draws.fork(3 - is_own)):
            by_room[gap.room_order].append((gap, is_own))
    for end in ends.values():
        beside = _outwards(end.pfn, end.side, is_down=end.is_below)
        blocks += [(block, end.is_own) for block in beside]
    numbers = slots[1 : 1 + len(by_room[MAX_ORDER])]
    if numbers.size < len(by_room[MAX_ORDER]):
        raise InputError("too few blocks in use")
    full = np.concatenate((slots[: 1 + numbers.size], np.array([*ends], np.int64)))
    taken = [(MAX_ORDER, np.sort(full))]
    for order in reversed(range(MAX_ORDER + 1)):
        if order < MAX_ORDER:
            wanted = len(by_room[order])
            numbers = _places(wanted, order, room, taken, draws.fork(order + 4))
            taken.append((order, np.sort(numbers)))
        areas = room.pfns(numbers, order).tolist()
        for (gap, is_own), area in zip(by_room[order], areas, strict=True):
            blocks += [(block, is_own) for block in gap.blocks(area)]
    for (start, order), is_own in _shuffled(blocks, draws.fork(0)):
        buddy.seed_blocks((start,), order, own=is_own)


def _slots_of(ram: ExtentSet) -> _Slots:
    size = np.uint64(_TOP_PAGES)
    starts = (ram.starts + size - np.uint64(1)) // size
    ends = ram.ends // size
    some = starts < ends
    lengths = (ends[some] - starts[some]).astype(np.int64)
    first = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    whole = int(first[-1])
    # Blocks at the edges of RAM; two runs of RAM may share one.
    low, high = ram.starts // size, (ram.ends - np.uint64(1)) // size
    edges = np.concatenate((low[low < starts], high[high >= ends]))
    edges = np.unique(edges)
    return _Slots(
        first=np.concatenate((first[:-1], whole + np.arange(edges.size))),
        pfn=np.concatenate((starts[some], edges)) * size,
        whole=whole,
    )


class _Used(NamedTuple):
    # Slots in use, numbered apart: those from number[i] on are slots from slot[i] on.
    number: I64
    slot: I64

    def number_of(self, slot: int) -> int | None:
        run = int(np.searchsorted(self.slot, slot, side="right")) - 1
        if run < 0:
            return None
        number = int(self.number[run] + slot - self.slot[run])
        after = self.number[run + 1 : run + 2].tolist()
        return None if after and number >= after[0] else number

    def slots(self, numbers: I64) -> I64:
        run = np.searchsorted(self.number, numbers, side="right") - 1
        return self.slot[run] + numbers - self.number[run]


class _Room(NamedTuple):
    # Where small free blocks may lie: blocks in use, numbered from 0 to parts.
    ram: ExtentSet
    slots: _Slots
    used: _Used
    parts: int

    def pfns(self, blocks: I64, order: int) -> U64:
        within = MAX_ORDER - order
        offsets = (blocks & ((1 << within) - 1)).astype(np.uint64)
        tops = self.slots.pfns(self.used.slots(blocks >> within))
        return tops + (offsets << np.uint64(order))

    def are_ram(self, blocks: I64, order: int) -> NDArray[np.bool_]:
        starts = self.pfns(blocks, order)
        at = np.searchsorted(self.ram.starts, starts, side="right") - 1
        inside = starts + np.uint64(1 << order) <= self.ram.ends[np.maximum(at, 0)]
        return np.logical_and(at >= 0, inside)


def _clusters(
    free: int, most: int, slots: _Slots, draws: Draws, *, is_seen: bool
) -> tuple[list[StartCount], _Used]:
    # Free and used slots in turn, each kind cut into as many parts at random places;
    # the blocks that are RAM in part are in use and come last.
    used = slots.whole - free
    parts = min(free, used, most) or 1
    if is_seen and parts > 2:
        # Half of all is what nobody has used yet, at the zone's end.
        free_parts = [*_composition(free - free // 2, parts - 1, draws), free // 2]
    else:
        free_parts = _composition(free, parts, draws)
    used_parts = _composition(used, len(free_parts), draws)
    runs, numbers, starts = [], [], []
    at = done = 0
    for free_part, used_part in zip_longest(free_parts, used_parts, fillvalue=0):
        if free_part:
            runs.append((at, free_part))
        at += free_part
        if used_part:
            numbers.append(done)
            starts.append(at)
        at += used_part
        done += used_part
    if slots.total > slots.whole:
        numbers.append(done)
        starts.append(slots.whole)
    return runs, _Used(
        number=np.array(numbers, np.int64), slot=np.array(starts, np.int64)
    )


def _composition(total: int, parts: int, draws: Draws) -> list[int]:
    # At most so many positive parts that add up to total; one part of 0 for 0.
    if total <= 1 or parts <= 1:
        return [total]
    cuts = np.unique(draws.many_below(total - 1, parts - 1)) + np.uint64(1)
    edges = [0, *cuts.tolist(), total]
    return [after - before for before, after in pairwise(edges)]


def _free_slots(
    buddy: Buddy, slots: _Slots, first: int, count: int, *, is_seen: bool
) -> None:
    # A run of slot numbers may go over the gaps between runs of RAM.
    while count:
        run = int(np.searchsorted(slots.first, first, side="right")) - 1
        following = [*slots.first[run + 1 : run + 2].tolist(), slots.whole][0]
        length = min(count, following - first)
        pfn = int(slots.pfns(np.array([first], np.int64))[0])
        free = buddy.seed_run if is_seen else buddy.free
        free(pfn, pfn + length * _TOP_PAGES)
        first, count = first + length, count - length


def _places(
    wanted: int, order: int, room: _Room, taken: Sequence[tuple[int, I64]], draws: Draws
) -> I64:
    # Numbers of blocks of this order in what is in use, in random order. Each is
    # half of a parent of its own that lies in no larger free block.
    parents = room.parts << (MAX_ORDER - order - 1)
    numbers = np.empty(0, np.int64)
    if parents <= _ENUMERATED:
        numbers = _halves(np.arange(parents, dtype=np.int64), order, room, taken, draws)
    elif wanted <= parents:
        for _ in range(_ROUNDS):
            drawn = draws.many_below(parents, 2 * (wanted - numbers.size) + 16)
            fresh = _not_in(drawn.astype(np.int64), numbers >> 1)
            more = _halves(fresh, order, room, taken, draws)
            numbers = np.concatenate((numbers, more))
            if numbers.size >= wanted:
                break
    if numbers.size < wanted:
        raise InputError(
            f"{wanted:#x} blocks of order {order} are said to be free: the zone has "
            f"room for {numbers.size:#x} beside larger ones"
        )
    shuffled = np.argsort(draws.many_below(1 << 63, numbers.size), kind="stable")
    return numbers[shuffled[:wanted]]


# Values once each, ascending: np.setdiff1d() of numpy 2 takes ten times as long.
def _not_in(values: I64, taken: I64) -> I64:
    values = np.sort(values)
    values = values[np.append(True, values[1:] != values[:-1])]
    taken = np.append(np.sort(taken), np.iinfo(np.int64).max)
    is_taken = taken[np.searchsorted(taken, values)] == values
    return np.compress(~is_taken, values)


def _halves(
    parents: I64,
    order: int,
    room: _Room,
    taken: Sequence[tuple[int, I64]],
    draws: Draws,
) -> I64:
    # One half of each parent that is in use; the other where that is no RAM.
    for above, blocks in taken:
        if not blocks.size:
            continue
        around = parents >> (above - order - 1)
        at = np.minimum(np.searchsorted(blocks, around), blocks.size - 1)
        parents = parents[blocks[at] != around]
    halves = 2 * parents + draws.many_below(2, parents.size).astype(np.int64)
    halves ^= ~room.are_ram(halves, order)
    return halves[room.are_ram(halves, order)]
