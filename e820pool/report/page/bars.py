"""Lay the ranges of a map out on a bar, in percent of its width."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from e820pool.extents import Span
from e820pool.report.zones import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from e820pool.report.page.ranges import MapRange
    from e820pool.report.zones import Zone

__all__ = ("LEAST", "Bar", "Shape", "bar_of", "ranges_in")

LEAST = 0.4
"""Percent of the bar that a shape has at least, so that it can be seen and met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A rectangle: where it stands in percent, its look and what it tells."""

    x: str
    width: str
    look: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One map's shapes, in the order of their addresses."""

    name: str
    shapes: tuple[Shape, ...]


def ranges_in(ranges: Sequence[MapRange], zone: Zone) -> Sequence[MapRange]:
    """Return those of sorted ranges that have a byte in the zone."""
    low = bisect_right(ranges, zone.start, key=attrgetter("end"))
    high = bisect_left(ranges, zone.end, key=attrgetter("start"))
    return ranges[low:high]


def bar_of(
    name: str,
    ranges: Sequence[MapRange],
    zone: Zone,
    place: Callable[[int], float],
) -> Bar:
    """Return the bar of a zone; ``place`` gives the percent of an address in it.

    Neighbours too narrow to be met share a shape, which looks like a deposit if it
    holds one: a deposit never vanishes.
    """
    shapes, end_of_last = [], 0.0
    for group, start, end in _groups(ranges, zone, place):
        x = min(max(start, end_of_last), 100 - LEAST)
        width = max(end - x, LEAST)
        end_of_last = x + width
        shapes.append(
            Shape(
                x=f"{x:.3f}%",
                width=f"{width:.3f}%",
                look=_look(group).name.lower(),
                title=_title(group),
            )
        )
    return Bar(name=name, shapes=tuple(shapes))


_Placed = tuple["MapRange", float, float]
_Group = tuple[list["MapRange"], float, float]


def _groups(
    ranges: Sequence[MapRange], zone: Zone, place: Callable[[int], float]
) -> Iterator[_Group]:
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
    ranges: Sequence[MapRange], zone: Zone, place: Callable[[int], float]
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
