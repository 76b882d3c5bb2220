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
    "Row",
    "StartCount",
    "StartEnd",
    "coalesce_lists",
    "intersect_lists",
    "merge_lists",
    "subtract_lists",
)

# Below that a loop is done before the iterators are made.
_FEW = 8

Lists = tuple[list[int], list[int]]
"""The starts of a set's ranges, and their ends."""

StartEnd = tuple[int, int]
"""A half-open range of bytes or pages, as a Span is one: plain where many are made."""

StartCount = tuple[int, int]
"""An address and how many bytes, or a PFN and how many pages, follow from it on."""

Row = tuple[int, int, int]
"""An entry of a table: its address and size in bytes, its e820 type."""


def coalesce_lists(ranges: Iterable[StartEnd]) -> Lists:
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


def merge_lists(left: Lists, right: Lists) -> Lists:
    """Return the union of two sets."""
    if not (left[0] and right[0]):
        return left if left[0] else right
    # Starts and ends apart: where all that is sorted alternates nothing is joined.
    starts, ends = sorted(left[0] + right[0]), sorted(left[1] + right[1])
    if any(map(ge, ends, islice(starts, 1, None))):
        return coalesce_lists(zip(starts, ends, strict=True))
    return starts, ends


def intersect_lists(left: Lists, right: Lists) -> Lists:
    """Return what two sets have in common."""
    # The smaller one asks.
    if len(left[0]) > len(right[0]):
        left, right = right, left
    starts: list[int] = []
    ends: list[int] = []
    their_starts, their_ends = right
    nr_theirs, at = len(their_starts), 0
    for start, end in zip(*left, strict=True):
        at = bisect_right(their_ends, start, at)
        while at < nr_theirs and their_starts[at] < end:
            low, high = their_starts[at], their_ends[at]
            starts.append(max(low, start))
            ends.append(min(high, end))
            if high >= end:
                break
            at += 1
    return starts, ends


def subtract_lists(left: Lists, right: Lists) -> Lists:
    """Return what of one set is not in the other."""
    their_starts, their_ends = right
    if not their_starts:
        return left
    starts: list[int] = []
    ends: list[int] = []
    nr_theirs, at = len(their_starts), 0
    for start, end in zip(*left, strict=True):
        rest = start
        at = bisect_right(their_ends, start, at)
        while at < nr_theirs and their_starts[at] < end:
            if rest < their_starts[at]:
                starts.append(rest)
                ends.append(their_starts[at])
            rest = their_ends[at]
            if rest >= end:
                break
            at += 1
        if rest < end:
            starts.append(rest)
            ends.append(end)
    return starts, ends
