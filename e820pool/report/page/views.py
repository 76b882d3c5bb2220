"""Views of two maps: the whole, and close-ups of deposits, each at two scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SIZE
from e820pool.report.page.bars import Bar, bar_of, ranges_in
from e820pool.report.page.ranges import map_layer, ranges_of
from e820pool.report.table import human_size
from e820pool.report.zones import Zone, address_label, zones_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e820pool.memory_map import MemoryMap
    from e820pool.report.page.ranges import Layer, MapRange

__all__ = ("CLOSE_UPS", "Strip", "View", "views_of")

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
    zones = list(zones_of(maps))
    if not zones:
        return ()
    whole = Zone(start=zones[0].start, end=zones[-1].end)
    views = [
        _view("whole", "Whole map", "true", zones, bars),
        _view("whole", "Whole map", "log", [whole], bars),
    ]
    for key, label, zone in _close_ups(deposits):
        views += [_view(key, label, scale, [zone], bars) for scale in ("true", "log")]
    return tuple(views)


def _view(
    key: str, label: str, scale: str, zones: list[Zone], bars: list[_Named]
) -> View:
    strips = tuple(_strip(zone, scale, bars) for zone in zones)
    return View(key=key, label=label, scale=scale, strips=strips)


def _strip(zone: Zone, scale: str, bars: list[_Named]) -> Strip:
    place = _true(zone) if scale == "true" else _log(zone, bars)
    spans = f"spans {human_size(zone.size)}"
    return Strip(
        start=address_label(zone.start),
        middle=spans if scale == "true" else f"{spans}, widths by logarithm",
        end=address_label(zone.end),
        bars=tuple(bar_of(name, ranges, zone, place) for name, ranges in bars),
    )


def _true(zone: Zone) -> Callable[[int], float]:
    return lambda addr: 100 * (addr - zone.start) / zone.size


# Each stretch between two bounds is as wide as the logarithm of its pages, in both
# maps alike, so that the same address stands at the same place.
def _log(zone: Zone, bars: list[_Named]) -> Callable[[int], float]:
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


def _close_ups(deposits: Layer) -> list[tuple[str, str, Zone]]:
    spans = list(zip(deposits.starts.tolist(), deposits.ends.tolist(), strict=True))
    if not spans:
        return []
    zones = []
    if len(spans) > 1:
        label = f"All {len(spans)} deposits"
        zones.append(("deposits", label, _padded(spans[0][0], spans[-1][1], 20)))
    for number, (first, last) in enumerate(_groups(spans), start=1):
        start, end = spans[first][0], spans[last][1]
        which = f"Deposit {first + 1}" if first == last else _many(first, last)
        label = f"{which}: {human_size(end - start)} at {address_label(start)}"
        share = 2 if first == last else 10
        zones.append((str(number), label, _padded(start, end, share)))
    return zones


def _many(first: int, last: int) -> str:
    return f"Deposits {first + 1} to {last + 1}"


def _padded(start: int, end: int, share: int) -> Zone:
    pad = max((end - start) // share, _LEAST_PAD) // PAGE_SIZE * PAGE_SIZE
    return Zone(start=max(start - pad, 0), end=min(end + pad, _TOP))


# The group with the most deposits is cut at the widest gap of its middle half, until
# there are enough groups or each has one deposit.
def _groups(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    groups = [(0, len(spans) - 1)]
    while len(groups) < min(CLOSE_UPS, len(spans)):
        first, last = max(groups, key=lambda group: group[1] - group[0])
        at = _widest(spans, first, last)
        groups.remove((first, last))
        groups += [(first, at - 1), (at, last)]
    return sorted(groups)


def _widest(spans: list[tuple[int, int]], first: int, last: int) -> int:
    quarter = (last - first) // 4
    places = range(first + 1 + quarter, last + 1 - quarter)
    return max(places, key=lambda at: spans[at][0] - spans[at - 1][1])
