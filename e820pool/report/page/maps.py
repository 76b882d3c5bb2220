"""A map as a page shows it: its ranges, laid out as bars at several scales."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.extents import MAX_PFN, PAGE_SHIFT, PAGE_SIZE, ByteRangeSet, Span
from e820pool.report.map_table import human_size, type_label
from e820pool.report.zones import Look, address_label, drawn_zones, look_of_type
from e820pool.sweep import distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.extents import ExtentSet
    from e820pool.memory_map import MemoryMap
    from e820pool.range_lists import StartEnd


__all__ = (
    "CLOSE_UPS",
    "LEAST",
    "NO_ENTRY",
    "Bar",
    "BarShape",
    "Layer",
    "MapRange",
    "Strip",
    "View",
    "bar_of",
    "extent_layer",
    "ledger_layer",
    "map_layer",
    "ranges_in",
    "ranges_of",
    "segments",
    "views_of",
)

CLOSE_UPS = 24
"""So many close-ups at most; with more deposits, neighbours share one."""

_LEAST_PAD = 4 * PAGE_SIZE
_TOP = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One stretch of addresses: its labels, and a bar for each map."""

    start: str
    middle: str
    end: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The map at one scale.

    Attributes:
        key: ``whole``, ``deposits`` or the number of a close-up, from 1 on.
        scale: ``true`` or ``log``.
    """

    key: str
    label: str
    scale: str
    strips: tuple[Strip, ...]


_Named = tuple[str, tuple["MapRange", ...]]


def views_of(
    before: tuple[MemoryMap, Sequence[str]] | None,
    after: tuple[MemoryMap, Sequence[str]],
    deposits: Layer,
    names: tuple[str, str] = ("before", "after"),
) -> tuple[View, ...]:
    """Return the views, the whole first; each map comes with its entries' sources.

    Raises:
        InputError: an entry reaches 2^64.
    """
    bars: list[_Named] = []
    if before is not None:
        bars.append((names[0], ranges_of(map_layer(*before))))
    bars.append((names[1], ranges_of(map_layer(*after), deposits)))
    maps = [named[0] for named in (before, after) if named is not None]
    zones = list(drawn_zones(maps))
    if not zones:
        return ()
    whole = Span(zones[0].start, zones[-1].end)
    views = [
        _view("whole", "Whole map", "true", zones, bars),
        _view("whole", "Whole map", "log", [whole], bars),
    ]
    for key, label, zone in _close_ups(deposits):
        views += [_view(key, label, scale, [zone], bars) for scale in ("true", "log")]
    return tuple(views)


def _view(
    key: str, label: str, scale: str, zones: list[Span], bars: list[_Named]
) -> View:
    strips = tuple(_strip(zone, scale, bars) for zone in zones)
    return View(key=key, label=label, scale=scale, strips=strips)


def _strip(zone: Span, scale: str, bars: list[_Named]) -> Strip:
    place = _true(zone) if scale == "true" else _log(zone, bars)
    spans = f"spans {human_size(zone.size)}"
    return Strip(
        start=address_label(zone.start),
        middle=spans if scale == "true" else f"{spans}, widths by logarithm",
        end=address_label(zone.end),
        bars=tuple(bar_of(name, ranges, zone, place) for name, ranges in bars),
    )


def _true(zone: Span) -> Callable[[int], float]:
    return lambda addr: 100 * (addr - zone.start) / zone.size


# Each stretch between two bounds is as wide as the logarithm of its pages, in both
# maps alike, so that the same address stands at the same place.
def _log(zone: Span, bars: list[_Named]) -> Callable[[int], float]:
    inside = {
        addr
        for _, ranges in bars
        for span in ranges_in(ranges, zone)
        for addr in (span.start, span.end)
        if zone.start < addr < zone.end
    }
    bounds = sorted({zone.start, zone.end} | inside)
    sums = [0.0]
    for low, high in pairwise(bounds):
        sums.append(sums[-1] + math.log2(2 + (high - low) / PAGE_SIZE))
    shares = (100 * total / sums[-1] for total in sums)
    return dict(zip(bounds, shares, strict=True)).__getitem__


def _close_ups(deposits: Layer) -> list[tuple[str, str, Span]]:
    spans = list(zip(deposits.starts.tolist(), deposits.ends.tolist(), strict=True))
    if not spans:
        return []
    zones = []
    if len(spans) > 1:
        label = f"All {len(spans)} deposits"
        zones.append(("deposits", label, _padded(spans[0][0], spans[-1][1], 20)))
    for number, group in enumerate(_groups(spans), start=1):
        start, end = spans[group[0]][0], spans[group[-1]][1]
        label = f"{_named(group)}: {human_size(end - start)} at {address_label(start)}"
        share = 2 if len(group) == 1 else 10
        zones.append((str(number), label, _padded(start, end, share)))
    return zones


def _named(group: range) -> str:
    first, last = group[0] + 1, group[-1] + 1
    return f"Deposit {first}" if first == last else f"Deposits {first} to {last}"


def _padded(start: int, end: int, share: int) -> Span:
    pad = max((end - start) // share, _LEAST_PAD) // PAGE_SIZE * PAGE_SIZE
    return Span(max(start - pad, 0), min(end + pad, _TOP))


# The group with the most deposits is cut at the widest gap of its middle half, until
# there are enough groups or each has one deposit.
def _groups(spans: list[StartEnd]) -> list[range]:
    groups = [range(len(spans))]
    while len(groups) < min(CLOSE_UPS, len(spans)):
        largest = max(groups, key=len)
        at = _widest(spans, largest)
        groups.remove(largest)
        groups += [range(largest.start, at), range(at, largest.stop)]
    return sorted(groups, key=lambda group: group.start)


def _widest(spans: list[StartEnd], group: range) -> int:
    quarter = (len(group) - 1) // 4
    places = range(group.start + 1 + quarter, group.stop - quarter)
    return max(places, key=lambda at: spans[at][0] - spans[at - 1][1])


LEAST = 0.4
"""Percent of the bar that a shape has at least, so that it can be seen and met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarShape:
    """A rectangle: where it stands in percent, its look and what it tells."""

    x: str
    width: str
    look: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One map's shapes, in the order of their addresses."""

    name: str
    shapes: tuple[BarShape, ...]


def ranges_in(ranges: Sequence[MapRange], zone: Span) -> Sequence[MapRange]:
    """Return those of sorted ranges that have a byte in the zone."""
    low = bisect_right(ranges, zone.start, key=attrgetter("end"))
    high = bisect_left(ranges, zone.end, key=attrgetter("start"))
    return ranges[low:high]


def bar_of(
    name: str,
    ranges: Sequence[MapRange],
    zone: Span,
    place: Callable[[int], float],
) -> Bar:
    """Return the bar of a zone; ``place`` gives the percent of an address in it.

    Neighbours too narrow to be met share a shape, which looks like a deposit if it
    holds one: a deposit never vanishes.
    """
    shapes, end_of_last = [], 0.0
    for group, start, end in _narrow_groups(ranges, zone, place):
        x = min(max(start, end_of_last), 100 - LEAST)
        width = max(end - x, LEAST)
        end_of_last = x + width
        shapes.append(
            BarShape(
                x=f"{x:.3f}%",
                width=f"{width:.3f}%",
                look=_look(group).name.lower(),
                title=_title(group),
            )
        )
    return Bar(name=name, shapes=tuple(shapes))


_Placed = tuple["MapRange", float, float]
_Narrow = tuple[list["MapRange"], float, float]


def _narrow_groups(
    ranges: Sequence[MapRange], zone: Span, place: Callable[[int], float]
) -> Iterator[_Narrow]:
    group: list[MapRange] = []
    start = end = 0.0
    for span, left, right in _placed(ranges, zone, place):
        narrow = right - left < LEAST
        if group and narrow and right - start < LEAST:
            group.append(span)
            end = right
            continue
        if group:
            yield group, start, end
        group, start, end = [span], left, right
        if not narrow:
            yield group, start, end
            group = []
    if group:
        yield group, start, end


def _placed(
    ranges: Sequence[MapRange], zone: Span, place: Callable[[int], float]
) -> Iterator[_Placed]:
    for span in ranges_in(ranges, zone):
        low, high = max(span.start, zone.start), min(span.end, zone.end)
        yield span, place(low), place(high)


def _look(group: list[MapRange]) -> Look:
    if any(span.look == Look.DEPOSITED for span in group):
        return Look.DEPOSITED
    return max(group, key=lambda span: span.size).look


def _title(group: list[MapRange]) -> str:
    if len(group) == 1:
        return group[0].title
    deposited = sum(span.look == Look.DEPOSITED for span in group)
    deposits = f", {deposited} of them deposited" if deposited else ""
    around = Span(group[0].start, group[-1].end)
    return f"{len(group)} ranges in {around}{deposits}: come closer"


NO_ENTRY = "no entry"
"""Of bytes that a map does not name."""

# More names than this help nobody.
_NAMED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRange:
    """Bytes ``[start, end)`` that look the same and have one source."""

    start: int
    end: int
    look: Look
    words: str
    source: str

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self.end - self.start

    @property
    def title(self) -> str:
        """Return range, size, type and source in a sentence."""
        span = f"{Span(self.start, self.end)} {human_size(self.size)}"
        return f"{span}, {self.words}; from {self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Disjoint sorted ranges in bytes, each with words and a source."""

    starts: NDArray[Any]
    ends: NDArray[Any]
    words: tuple[str, ...]
    sources: tuple[str, ...]
    looks: tuple[Look, ...]

    def at(self, addrs: NDArray[Any]) -> list[int]:
        """Return the index of the range that holds each address, -1 without one."""
        if not self.words:
            return [-1] * addrs.size
        below = np.searchsorted(self.starts, addrs, side="right").astype(np.int64) - 1
        inside: list[int] = np.where(addrs < self.ends[below], below, -1).tolist()
        return inside


def map_layer(memory_map: MemoryMap, names: Sequence[str]) -> Layer:
    """Return the ranges of a map once its overlaps are resolved.

    Args:
        memory_map: entries in any order.
        names: where each entry is from, one for each.

    Raises:
        InputError: an entry reaches 2^64.
    """
    flat = memory_map.flatten().entries
    origin = _Origins(memory_map.entries, names)
    rows = flat.tolist()
    return Layer(
        starts=flat["addr"],
        ends=flat["addr"] + flat["size"],
        words=tuple(type_label(kind) for _, _, kind in rows),
        sources=tuple(origin.of(addr, addr + size, kind) for addr, size, kind in rows),
        looks=tuple(look_of_type(kind) for _, _, kind in rows),
    )


def ledger_layer(ledger: DepositLedger) -> Layer:
    """Return the deposits of a ledger, owner by owner."""
    rows = ledger.rows
    owners = [f"deposited by owner {owner:#x}" for owner in rows["owner"].tolist()]
    return _deposits(rows["start"], rows["end"], owners)


def extent_layer(extents: ExtentSet) -> Layer:
    """Return deposited pages of which nobody says whose they are."""
    return _deposits(extents.starts, extents.ends, ["deposited"] * len(extents))


def _deposits(starts: NDArray[Any], ends: NDArray[Any], words: list[str]) -> Layer:
    # The page that ends at 2^64 loses its last byte, as in ExtentSet.to_bytes().
    shift, last = np.uint64(PAGE_SHIFT), ends >= np.uint64(MAX_PFN)
    top = np.uint64(ByteRangeSet.LIMIT)
    return Layer(
        starts=starts << shift,
        ends=np.where(last, top, ends << shift),
        words=tuple(words),
        sources=tuple(f"deposit {at + 1}" for at in range(len(words))),
        looks=(Look.DEPOSITED,) * len(words),
    )


def segments(layers: Sequence[Layer]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield ``start, end`` of each stretch that some layer has, and the index in each.

    No stretch crosses a bound of any layer; an index of -1 says that one has nothing.
    """
    bounds = distinct(
        np.concatenate([x for layer in layers for x in (layer.starts, layer.ends)])
    )
    columns = zip(*(layer.at(bounds[:-1]) for layer in layers), strict=True)
    spans = zip(bounds[:-1].tolist(), bounds[1:].tolist(), columns, strict=True)
    for start, end, indices in spans:
        if any(at >= 0 for at in indices):
            yield start, end, indices


def ranges_of(layer: Layer, deposits: Layer | None = None) -> tuple[MapRange, ...]:
    """Return the ranges of a map, cut at the deposits that lie on top."""
    layers = [layer] if deposits is None else [layer, deposits]
    ranges = []
    for start, end, (at, *on_top) in segments(layers):
        words = layer.words[at] if at >= 0 else NO_ENTRY
        source = layer.sources[at] if at >= 0 else NO_ENTRY
        look = layer.looks[at] if at >= 0 else Look.NOTHING
        if deposits is not None and on_top[0] >= 0:
            words = f"{words}, {deposits.words[on_top[0]]}"
            source = f"{source}, {deposits.sources[on_top[0]]}"
            look = Look.DEPOSITED
        ranges.append(
            MapRange(start=start, end=end, look=look, words=words, source=source)
        )
    return tuple(ranges)


class _Origins:
    # Which entries a flat range was made of, by bisection over their sorted starts.

    def __init__(self, entries: NDArray[Any], names: Sequence[str]) -> None:
        order = np.argsort(entries["addr"], kind="stable")
        self.rows = entries[order]
        self.names = [names[at] for at in order.tolist()]
        # No entry before the first whose running end passes an address can reach it.
        self.reach = np.maximum.accumulate(self.rows["addr"] + self.rows["size"])

    def of(self, start: int, end: int, kind: int) -> str:
        low = int(np.searchsorted(self.reach, np.uint64(start), side="right"))
        high = int(np.searchsorted(self.rows["addr"], np.uint64(end), side="left"))
        names = [
            name
            for (addr, size, type_), name in zip(
                self.rows[low:high].tolist(), self.names[low:high], strict=True
            )
            if addr < end and addr + size > start and type_ == kind
        ]
        if len(names) > _NAMED:
            return f"{names[0]} and {len(names) - 1} others"
        return " and ".join(names)
