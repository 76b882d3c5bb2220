"""Compare two maps address by address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from e820pool.errors import InputError
from e820pool.sweep import sweep_arrays

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.memory_map import MemoryMap

__all__ = ("Change", "MapDiff", "Segment", "Side", "diff_maps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one map says of some bytes: the entry that decides, and its type."""

    number: int
    type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The bytes ``[addr, addr + size)``, for which each map has one entry.

    Attributes:
        addr: first byte.
        size: in bytes.
        a, b: None where a map has no entry.
    """

    addr: int
    size: int
    a: Side | None
    b: Side | None

    @property
    def types(self) -> tuple[int | None, int | None]:
        """Return the type in each map, None where it has no entry."""
        return (
            None if self.a is None else self.a.type,
            None if self.b is None else self.b.type,
        )

    @property
    def is_same(self) -> bool:
        """Return whether both maps give these bytes the same type."""
        return self.types[0] == self.types[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The sum of the bytes that are ``a`` in one map and ``b`` in the other.

    Attributes:
        a, b: types, None for no entry.
        size: bytes in all ranges together.
        ranges: how many there are.
    """

    a: int | None
    b: int | None
    size: int
    ranges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDiff:
    """Two maps and all their segments, by address.

    Attributes:
        a, b: the maps.
        segments: sorted and disjoint; what neither map has is left out.
    """

    a: MemoryMap
    b: MemoryMap
    segments: tuple[Segment, ...]

    @property
    def is_equal(self) -> bool:
        """Return whether every byte has the same type in both maps."""
        return all(segment.is_same for segment in self.segments)

    @property
    def has_same_entries(self) -> bool:
        """Return whether the tables are equal entry by entry, in their order."""
        return self.a == self.b

    def ranges(self) -> list[Segment]:
        """Return the segments, joined where neighbours have the same types."""
        joined: list[Segment] = []
        for segment in self.segments:
            last = joined[-1] if joined else None
            if (
                last is not None
                and last.addr + last.size == segment.addr
                and last.types == segment.types
            ):
                joined[-1] = replace(last, size=last.size + segment.size)
            else:
                joined.append(segment)
        return joined

    def changes(self) -> list[Change]:
        """Return what differs, summed up by type, the largest first."""
        sums: dict[tuple[int | None, int | None], tuple[int, int]] = {}
        for segment in self.ranges():
            if not segment.is_same:
                size, count = sums.get(segment.types, (0, 0))
                sums[segment.types] = (size + segment.size, count + 1)
        changes = [
            Change(a=a, b=b, size=size, ranges=count)
            for (a, b), (size, count) in sums.items()
        ]
        return sorted(changes, key=lambda change: -change.size)


def diff_maps(a: MemoryMap, b: MemoryMap) -> MapDiff:
    """Return both maps cut at every address at which an entry of either decides.

    Where entries of one map overlap, the highest type decides, as for every kernel
    (:mod:`e820pool.sweep`); among equals the first. Type 0 is no entry.

    Raises:
        InputError: an entry reaches 2^64.
    """
    of_a, of_b = _deciders(a), _deciders(b)
    points = sorted({*of_a.bounds, *of_b.bounds})
    segments = (
        Segment(addr=start, size=end - start, a=side_a, b=side_b)
        for (start, end), side_a, side_b in zip(
            pairwise(points), of_a.at(points[:-1]), of_b.at(points[:-1]), strict=True
        )
        if side_a is not None or side_b is not None
    )
    return MapDiff(a=a, b=b, segments=tuple(segments))


class _Deciders:
    # Which entry decides, range by range; the ranges are sorted and disjoint.
    def __init__(self, ranges: list[tuple[int, int, Side]]) -> None:
        self._ranges = ranges

    @property
    def bounds(self) -> Iterable[int]:
        for start, end, _ in self._ranges:
            yield start
            yield end

    def at(self, points: list[int]) -> Iterable[Side | None]:
        # Of sorted points: one walk over the ranges.
        ranges = iter(self._ranges)
        current = next(ranges, None)
        for point in points:
            while current is not None and current[1] <= point:
                current = next(ranges, None)
            inside = current is not None and current[0] <= point
            yield current[2] if inside and current is not None else None


def _deciders(memory_map: MemoryMap) -> _Deciders:
    # The sweep over ranks in place of types: each entry has its own, the higher the
    # type and the earlier the entry, the higher.
    entries = memory_map.entries
    try:
        memory_map.table.validate_resolvable()
    except InputError as exc:
        raise InputError(f"{memory_map.origin or 'a map'}: {exc}") from exc
    kinds = entries["type"]
    order = np.lexsort((-np.arange(kinds.size), kinds))
    ranks = np.empty(kinds.size, np.uint32)
    ranks[order] = np.arange(1, kinds.size + 1, dtype=np.uint32)
    ranks[kinds == 0] = 0
    swept = sweep_arrays(entries["addr"], entries["size"], ranks)
    return _Deciders(
        [
            (addr, addr + size, Side(number=at, type=int(kinds[at])))
            for addr, size, rank in zip(
                *(column.tolist() for column in swept), strict=True
            )
            for at in (int(order[rank - 1]),)
        ]
    )
