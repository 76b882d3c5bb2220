"""The algebra of sets that are too small for numpy: two lists of plain integers.

A set is its sorted starts and its sorted ends; its ranges are half-open, not empty, and
neither overlap nor touch. A call of numpy costs what a step of these loops costs some
fifty times over, so that a set of a hundred ranges is done before numpy has begun.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from operator import ge, lt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "Lists",
    "coalesce_lists",
    "intersect_lists",
    "merge_lists",
    "subtract_lists",
)

# Below that a loop is done before the iterators are made.
_FEW = 8

Lists = tuple[list[int], list[int]]
"""The starts of a set's ranges, and their ends."""


def coalesce_lists(ranges: Iterable[tuple[int, int]]) -> Lists:
    """Join touching and overlapping ranges; drop empty ones.

    Args:
        ranges: ``(start, end)``, end exclusive, in any order; no start above its end
            and none below 0.

    Returns:
        Sorted, disjoint, non-touching starts and ends.
    """
    ordered = sorted(ranges)
    if len(ordered) > _FEW:
        # Most sets come as sets: in order, apart, none of them empty.
        lows, highs = zip(*ordered, strict=True)
        if all(map(lt, highs, islice(lows, 1, None))) and all(map(lt, lows, highs)):
            return list(lows), list(highs)
    starts: list[int] = []
    ends: list[int] = []
    last = -1
    for start, end in ordered:
        if start > last:
            if start < end:
                starts.append(start)
                ends.append(end)
                last = end
        elif end > last:
            ends[-1] = last = end
    return starts, ends


def merge_lists(one: Lists, two: Lists) -> Lists:
    """Return the union of two sets."""
    if not (one[0] and two[0]):
        return one if one[0] else two
    # Starts and ends apart: where all that is sorted alternates nothing is joined.
    starts, ends = sorted(one[0] + two[0]), sorted(one[1] + two[1])
    if any(map(ge, ends, islice(starts, 1, None))):
        return coalesce_lists(zip(starts, ends, strict=True))
    return starts, ends


def intersect_lists(one: Lists, two: Lists) -> Lists:
    """Return what two sets have in common."""
    # The smaller one asks.
    if len(one[0]) > len(two[0]):
        one, two = two, one
    starts: list[int] = []
    ends: list[int] = []
    their_starts, their_ends = two
    nr_theirs, at = len(their_starts), 0
    for start, end in zip(*one, strict=True):
        at = bisect_right(their_ends, start, at)
        while at < nr_theirs and their_starts[at] < end:
            low, high = their_starts[at], their_ends[at]
            starts.append(max(low, start))
            ends.append(min(high, end))
            if high >= end:
                break
            at += 1
    return starts, ends


def subtract_lists(one: Lists, two: Lists) -> Lists:
    """Return what of one set is not in the other."""
    their_starts, their_ends = two
    if not their_starts:
        return one
    starts: list[int] = []
    ends: list[int] = []
    nr_theirs, at = len(their_starts), 0
    for start, end in zip(*one, strict=True):
        left = start
        at = bisect_right(their_ends, start, at)
        while at < nr_theirs and their_starts[at] < end:
            if left < their_starts[at]:
                starts.append(left)
                ends.append(their_starts[at])
            left = their_ends[at]
            if left >= end:
                break
            at += 1
        if left < end:
            starts.append(left)
            ends.append(end)
    return starts, ends
