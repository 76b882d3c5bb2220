"""A host's pages: NUMA nodes with zones, each with an allocator of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import chain
from math import isqrt
from typing import TYPE_CHECKING, NamedTuple

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
)
from e820pool.documents import printable
from e820pool.errors import InputError
from e820pool.extents import PAGE_SHIFT, ExtentSet
from e820pool.memory_map import MemoryMap
from e820pool.stress.buddy import MAX_ORDER, Buddy
from e820pool.stress.fragments import FreeCounts, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from e820pool.range_lists import StartEnd
    from e820pool.sources.buddyinfo import ZoneFree
    from e820pool.stress.draws import Draws

__all__ = ("PER_CPU", "WEAR", "HostPages", "Zone", "generated_map", "zones_of")

# ZONE_DMA ends at 16 MiB, ZONE_DMA32 at 4 GiB (arch/x86/mm/init.c, zone_sizes_init()).
_ZONES = (("DMA", 0, 1 << 12), ("DMA32", 1 << 12, 1 << 20), ("Normal", 1 << 20, None))

WEAR = {
    "fresh": (0.98, 0),
    "used": (0.90, 1),
    "worn": (0.60, 16),
}
"""How worn a host is of which no buddyinfo is given: the share of blocks of the
highest order that is free, and how many times :data:`_FRAGMENTS` a zone has."""

# Free blocks per order below the highest, as a host in use for weeks has them, and
# the share of the kernel's own kind: assumptions, to be replaced by --buddyinfo.
_FRAGMENTS = (4000, 3000, 2000, 1500, 1000, 800, 600, 400, 200, 100)
_OWN_SHARE = 0.3

PER_CPU = (70, 30, 0, 0)
"""Of the blocks that lie alone on the lists of the processor that deposits, how many of
each order, in percent, as /proc/kpageflags of guests of 6.1 shows."""

# How many blocks lie alone on full lists, by /proc/kpageflags of guests in use: 60 to
# 100. On lists that were emptied, and on those of 5.10, a tenth of their pages; on
# guests that had only booted 17 and 31, and on their free lists hardly a small block.
_ALONE = 80
_ALONE_AT_BOOT = 20
_OF_LISTED = 10
_PERCENT = (75, 130)

# Pages that a list gets at a time: zone_batchsize() and nr_pcp_alloc() in
# mm/page_alloc.c, 6.1, for zones of 256 MiB and more.
_BATCH = 63
# lowmem_reserve_ratio of ZONE_DMA and ZONE_DMA32 (sysctl_lowmem_reserve_ratio and
# setup_per_zone_lowmem_reserve(), mm/page_alloc.c, 6.14; "protection" in /proc/zoneinfo
# of 5.10, 6.1, 6.12, 6.18 and 7.3 is that share).
_RESERVE = 256
# ZONE_DMA's lists get one page at a time.
_UNLISTED = "DMA"
# Blocks of 4 MiB in use below which nothing is added.
_LEAST_IN_USE = 8

# The name of draws.
_LISTS = 1 << 16

_MIB = 1 << 20
_GIB = 1 << 30

# Where RAM below 4 GiB may end, on a host without a map of its own; what is the
# firmware's is above, up to the next half GiB.
_LOW_ENDS = range(0x7C0F_0000, 0xE000_0000, 0x1000_0000)
# Zones from which no kernel allocates for itself.
_NOT_FOR_KERNELS = ("Movable", "Device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """The RAM of one zone of one node."""

    node: int
    name: str
    ram: ExtentSet


def generated_map(ram_bytes: int, info: Sequence[ZoneFree] = ()) -> MemoryMap:
    """Return the map of a server with so much RAM: 2 GiB below 4 GiB, the rest above.

    Args:
        ram_bytes: in all.
        info: what is free on it: up to 3.5 GiB are below 4 GiB where 2 GiB are too
            few for that.

    Raises:
        InputError: less than 4 GiB, or more than an address can name.
    """
    if not 4 * _GIB <= ram_bytes < 1 << 52:
        raise InputError(
            f"a host of {ram_bytes:#x} bytes: the limits are {4 * _GIB:#x} and "
            f"{1 << 52:#x}"
        )
    free = sum(
        zone.nr_pages for zone in info if zone.node == 0 and zone.zone == "DMA32"
    )
    fits = (end for end in _LOW_ENDS if (free << PAGE_SHIFT) + 16 * _MIB <= end)
    low_end = next(fits, _LOW_ENDS[-1])
    rows = (
        (0, 0x9FC00, E820_TYPE_RAM),
        (0x9FC00, 0x400, E820_TYPE_RESERVED),
        (0xF0000, 0x10000, E820_TYPE_RESERVED),
        (_MIB, low_end - _MIB, E820_TYPE_RAM),
        (low_end, 0x10000, E820_TYPE_ACPI),
        (low_end + 0x1_0000, 0x30_0000, E820_TYPE_NVS),
        (low_end + 0x31_0000, 0x3C0_0000, E820_TYPE_RESERVED),
        (0xE000_0000, 0x1000_0000, E820_TYPE_RESERVED),
        (0xFED0_0000, 0x130_0000, E820_TYPE_RESERVED),
        (4 * _GIB, (ram_bytes >> 12 << 12) - low_end, E820_TYPE_RAM),
    )
    return MemoryMap.of(rows, origin=f"generated, {ram_bytes >> 30} GiB")


def zones_of(memory_map: MemoryMap, nr_nodes: int) -> tuple[Zone, ...]:
    """Return the zones of all nodes; nodes are equal shares of RAM, by address.

    Raises:
        InputError: an entry reaches 2^64, or there are more nodes than pages of RAM.
    """
    ram = memory_map.ram_pages()
    if not 1 <= nr_nodes <= max(ram.nr_pages >> MAX_ORDER, 1):
        raise InputError(
            f"{nr_nodes} nodes: the limits are 1 and {ram.nr_pages >> MAX_ORDER}, one "
            f"for each 4 MiB of RAM"
        )
    edges = [_page_at(ram, ram.nr_pages * at // nr_nodes) for at in range(nr_nodes)]
    edges.append(ExtentSet.LIMIT)
    zones = []
    for node in range(nr_nodes):
        own = ram & ExtentSet([(edges[node], edges[node + 1])])
        for name, start, end in _ZONES:
            part = own & ExtentSet([(start, end or ExtentSet.LIMIT)])
            if part:
                zones.append(Zone(node=node, name=name, ram=part))
    return tuple(zones)


# The page with so many pages of RAM below it, on a block of the highest order.
def _page_at(ram: ExtentSet, below: int) -> int:
    for start, end in ram:
        if below < end - start:
            return (start + below) >> MAX_ORDER << MAX_ORDER if below else 0
        below -= end - start
    return ExtentSet.LIMIT


class HostPages:
    """An allocator that asks the zones of a node, then those of the others.

    A zonelist as GFP_KERNEL has it: Normal, DMA32, DMA; the nodes after the one
    asked for in ascending order.

    Attributes:
        nr_nodes: how many nodes there are.
    """

    __slots__ = ("_bounds", "_buddies", "_lists", "_low", "_nodes", "nr_nodes")

    def __init__(
        self, zones: Sequence[Zone], make_buddy: Callable[[], Buddy] = Buddy
    ) -> None:
        ordered = sorted(zones, key=lambda zone: int(zone.ram.starts[0]))
        self._bounds = [int(zone.ram.starts[0]) for zone in ordered]
        self._buddies = [make_buddy() for _ in ordered]
        # Lists of one processor per order, of those zones that have any.
        self._lists: dict[Buddy, tuple[deque[int], ...]] = {}
        # Low watermarks, where they are known.
        self._low: dict[Buddy, int] = {}
        self.nr_nodes = 1 + max((zone.node for zone in zones), default=0)
        lists: list[list[Buddy]] = [[] for _ in range(self.nr_nodes)]
        for zone, buddy in zip(ordered, self._buddies, strict=True):
            lists[zone.node].insert(0, buddy)
        # A node falls back on those after it, then on those before.
        self._nodes = [
            list(chain.from_iterable(lists[node:] + lists[:node]))
            for node in range(self.nr_nodes)
        ]

    @property
    def nr_free(self) -> int:
        """Return the pages that are free on all nodes."""
        return sum(buddy.nr_free for buddy in self._buddies)

    def alloc_order(self, order: int, node: int = 0) -> int | None:
        """Return the first PFN of ``2^order`` pages, from ``node`` if it has them.

        A zone with no more than its low watermark free comes after all that have more
        (zone_watermark_fast(), mm/page_alloc.c), and one that is nearer to it than a
        batch: others allocate, too.
        """
        zones = self._nodes[node]
        if self._low:
            size = max(1 << order, _BATCH)
            rich = [
                buddy
                for buddy in zones
                if buddy.nr_free - size > self._low.get(buddy, -1)
            ]
            zones = rich + [buddy for buddy in zones if buddy not in rich]
        for buddy in zones:
            lists = self._lists.get(buddy, ())
            if order < len(lists):
                start = _from_list(lists[order], buddy, order)
            else:
                start = buddy.alloc_order(order)
            if start is not None:
                return start
        return None

    def take_aligned(self, order: int, node: int = 0) -> int | None:
        """Return ``2^order`` contiguous pages of any order, aligned; None if none."""
        for buddy in self._nodes[node]:
            start = buddy.take_aligned(order)
            if start is not None:
                return start
        return None

    def find_aligned(self, order: int, node: int = 0) -> int | None:
        """Return where ``2^order`` aligned pages are free; None if nowhere."""
        starts = (buddy.find_aligned(order) for buddy in self._nodes[node])
        return next((start for start in starts if start is not None), None)

    def take_span(self, start_pfn: int, end_pfn: int) -> bool:
        """Take pages of one zone, if all of them are free."""
        at = bisect_right(self._bounds, start_pfn)
        return at > 0 and self._buddies[at - 1].take_span(start_pfn, end_pfn)

    def take_run(self, nr_blocks: int, node: int = 0) -> list[StartEnd]:
        """Take blocks of the highest order in few runs, all or nothing.

        Where they are too few the rest is of smaller blocks.
        """
        taken: list[StartEnd] = []
        rest = nr_blocks << MAX_ORDER
        if rest > self.nr_free:
            return taken
        for buddy in self._nodes[node]:
            taken += (runs := buddy.take_run(rest >> MAX_ORDER))
            rest -= sum(end - start for start, end in runs)
        for buddy in self._nodes[node]:
            taken += (runs := buddy.take_small(rest))
            rest -= sum(end - start for start, end in runs)
        return taken

    def free(self, start_pfn: int, end_pfn: int) -> None:
        """Take back pages; a run may go over the edges of zones."""
        while start_pfn < end_pfn:
            at = bisect_right(self._bounds, start_pfn)
            stop = self._bounds[at] if at < len(self._bounds) else end_pfn
            stop = min(stop, end_pfn)
            self._buddies[at - 1].free(start_pfn, stop)
            start_pfn = stop

    def fill(
        self,
        zones: Sequence[Zone],
        wear: str,
        info: Sequence[ZoneFree],
        draws: Draws,
        per_cpu: Sequence[int] = PER_CPU,
    ) -> None:
        """Free what is free on a host of that wear, or what ``info`` says is free.

        Args:
            zones: those of the constructor.
            wear: a key of :data:`WEAR`, where ``info`` is empty.
            info: the zones of a real host.
            draws: decides the places.
            per_cpu: which orders lists have beside ``info``, see :data:`PER_CPU`.

        Raises:
            InputError: a zone has no room for the blocks that are said to be free, or
                the host does not have it.
        """
        known = {(free.node, free.zone): free for free in info}
        _validate_zones(zones, known)
        for index, zone in enumerate(zones):
            buddy = self._buddies[
                bisect_right(self._bounds, int(zone.ram.starts[0])) - 1
            ]
            measured = known.get((zone.node, zone.name))
            counts = _told(measured) if info else _assumed(zone.ram, wear)
            if counts is None:
                continue
            place = draws.fork(index)
            if measured is None:
                lay_out(buddy, zone.ram, counts, place)
            else:
                has_lists = zone.name != _UNLISTED and type(buddy) is Buddy
                told_lists = _Lists.drawn(
                    per_cpu if has_lists else (), counts, zone, place, measured
                )
                lay_out(
                    buddy,
                    zone.ram,
                    told_lists.added(counts),
                    place,
                    _runs_of(counts, place.fork(_LISTS)),
                    is_seen=True,
                )
                self._lists[buddy] = told_lists.taken(buddy)
                if measured.low:
                    self._low[buddy] = measured.low + _reserve_of(zone, zones)


# Requests that a higher zone could serve leave a part of its size free in a lower one.
def _reserve_of(zone: Zone, zones: Sequence[Zone]) -> int:
    start = int(zone.ram.starts[0])
    higher = (other.ram for other in zones if other.node == zone.node)
    return sum(ram.nr_pages for ram in higher if int(ram.starts[0]) > start) // _RESERVE


# A run of free blocks of 4 MiB has two ends. What is free beyond an end, up to the next
# page in use, has a block of 2 MiB in it or has none, one as likely as the other: so
# there are about as many runs as free blocks of 2 MiB. Of 38 guests in use runs were
# 0.86 times as many in the mean, with a spread of 0.15; after compaction, which leaves
# blocks of 2 MiB by themselves, four blocks a run in the mean.
def _runs_of(counts: FreeCounts, draws: Draws) -> int:
    ends = counts.total(MAX_ORDER - 1) * 7 // 8
    spread = isqrt(ends)
    runs = ends - spread + draws.below(2 * spread + 1)
    return max(min(runs, counts.total(MAX_ORDER) // 4 + 1), 1)


def _validate_zones(
    zones: Sequence[Zone], known: Mapping[tuple[int, str], ZoneFree]
) -> None:
    have = {(zone.node, zone.name) for zone in zones}
    for key, measured in known.items():
        if key not in have and measured.nr_pages and key[1] not in _NOT_FOR_KERNELS:
            raise InputError(
                f"{measured.nr_pages:#x} pages of node {key[0]} zone "
                f"{printable(key[1][:40])} are said to be free: the host has no such "
                "zone"
            )


class _Lists(NamedTuple):
    # Per order how many blocks that lie alone, and how many that are left of the last
    # batch and follow each other.
    alone: tuple[int, ...]
    left: tuple[int, ...]

    @classmethod
    def drawn(
        cls,
        per_cpu: Sequence[int],
        counts: FreeCounts,
        zone: Zone,
        draws: Draws,
        info: ZoneFree,
    ) -> _Lists:
        in_use = (zone.ram.nr_pages >> MAX_ORDER) - counts.total(MAX_ORDER)
        draws = draws.fork(_LISTS + 1)
        small = sum(counts.total(order) for order in range(len(PER_CPU)))
        alone = min(_ALONE, _ALONE_AT_BOOT + small)
        if info.own_blocks is not None:
            # Lists of a zone that hardly holds any of the kernel's pages have none.
            alone = min(alone, info.own_blocks + sum(counts.own[: len(PER_CPU)]))
        if info.listed is not None:
            alone = min(alone, info.listed // _OF_LISTED)
        low, high = _PERCENT
        alone = alone * (low + draws.below(high - low + 1)) // 100
        # Only where the kernel allocated for itself, as small free blocks of its kind
        # tell, and where blocks in use leave room.
        is_own = any(counts.own[: len(PER_CPU)])
        shares = per_cpu if is_own and in_use >= _LEAST_IN_USE else (0,) * len(per_cpu)
        return cls(
            alone=tuple(min(alone * share // 100, in_use) for share in shares),
            left=tuple(
                draws.below(_batch(order) + 1) if any(shares) else 0
                for order in range(len(shares))
            ),
        )

    def added(self, counts: FreeCounts) -> FreeCounts:
        own = list(counts.own)
        for order, (alone, left) in enumerate(zip(*self, strict=True)):
            own[order] += alone
            if left:
                own[_order_of(left) + order] += 1
        return FreeCounts(own=tuple(own), others=counts.others)

    def taken(self, buddy: Buddy) -> tuple[deque[int], ...]:
        # The added blocks leave the allocator again, and its counts are as told.
        lists = tuple(deque[int]() for _ in self.alone)
        for order, alone in enumerate(self.alone):
            blocks = [buddy.alloc_order(order) for _ in range(alone)]
            lists[order].extend(block for block in blocks if block is not None)
        for order, left in enumerate(self.left):
            start = buddy.alloc_order(_order_of(left) + order) if left else None
            if start is not None:
                lists[order].extend(start + (at << order) for at in range(left))
        return lists


def _order_of(count: int) -> int:
    return (count - 1).bit_length()


def _batch(order: int) -> int:
    return max(_BATCH >> order, 2)


def _from_list(blocks: deque[int], buddy: Buddy, order: int) -> int | None:
    if not blocks:
        batch = (buddy.alloc_order(order) for _ in range(_batch(order)))
        blocks.extend(block for block in batch if block is not None)
    return blocks.popleft() if blocks else None


def _told(info: ZoneFree | None) -> FreeCounts | None:
    if info is None:
        return None
    total = info.total[: MAX_ORDER + 1]
    own = info.own or tuple(int(count * _OWN_SHARE) for count in total)
    # The two files are not read at the same moment.
    own = tuple(min(pair) for pair in zip(own, total, strict=False))
    others = [count - mine for count, mine in zip(total, own, strict=False)]
    return FreeCounts(own=own, others=tuple(others))


def _assumed(ram: ExtentSet, wear: str) -> FreeCounts:
    tops = ram.nr_pages >> MAX_ORDER
    share, times = WEAR[wear]
    free_tops = int(max(tops - len(ram), 0) * share)
    # A block in use has room for at most one small free one of each order.
    most = (tops - len(ram) - free_tops) // 2
    counts = [max(min(count * times, most), 0) for count in _FRAGMENTS]
    own = [int(count * _OWN_SHARE) for count in counts]
    others = [count - mine for count, mine in zip(counts, own, strict=True)]
    return FreeCounts(own=(*own, 0), others=(*others, free_tops))
