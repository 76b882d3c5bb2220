"""The overlap sweep: at every address the highest type wins.

::

    in    [----- 1 -----------------)
               [-- 2 --)   [-- 3 ------)
    out   [ 1 )[-- 2 --)[ 1)[-- 3 -----)

This is the rule by which every kernel resolves overlapping e820 entries
(e820__update_table(), before 4.12 sanitize_e820_map()); what a kernel adds to
it (refusals, capacity) is in the kernel room.

Whole arrays are resolved a type at a time, the highest first: what a type adds to
the union of those above it is its own.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from e820pool.extents import (
    coalesce_bounds,
    merge_bounds,
    merge_sorted,
    subtract_bounds,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from e820pool.range_lists import Row

    U64 = NDArray[np.uint64]
    U32 = NDArray[np.uint32]
    Bounds = tuple[U64, U64]
    _Active = tuple[int, int]  # of a range: its type below zero, its end

__all__ = (
    "distinct",
    "join_disjoint",
    "sweep_arrays",
    "sweep_overlapping",
    "sweep_rows",
)

_Number = TypeVar("_Number", np.uint32, np.uint64)

# Up to here a plain loop is as fast as numpy's fixed costs, which grow by type.
_SMALL = 128
_SMALL_PER_TYPE = 48
# A pass over the union a type: beyond this many types the heap is cheaper.
_MANY_TYPES = 64
_U64_MAX = (1 << 64) - 1


def sweep_rows(rows: Iterable[Row], never_merge: Collection[int] = ()) -> list[Row]:
    """Resolve overlaps in plain Python; the reference for :func:`sweep_arrays`.

    Args:
        rows: ``(addr, size, type)`` in any order; ``addr + size`` below 2^64.
        never_merge: types that are split at every change point inside them and
            never joined with a neighbour.

    Returns:
        Sorted, disjoint rows. Touching rows of one type are joined. Size 0 and
        type 0 rows contribute nothing.

    Example:
        >>> sweep_rows([(0x0, 0x5000, 1), (0x1000, 0x1000, 2)])
        [(0, 4096, 1), (4096, 4096, 2), (8192, 12288, 1)]
    """
    rows = list(rows)
    out = join_disjoint(rows, never_merge)
    return sweep_overlapping(rows, never_merge) if out is None else out


def join_disjoint(
    rows: Iterable[Row], never_merge: Collection[int] = ()
) -> list[Row] | None:
    """Return what :func:`sweep_rows` does of rows that do not overlap, in one pass.

    Most tables are like that. None where rows overlap, or one reaches 2^64.
    """
    ordered = sorted(rows)
    last_end = last_kind = at = 0
    # Of most tables nothing is left out, and nothing joined.
    for addr, size, kind in ordered:
        touches = addr <= last_end and (addr < last_end or kind == last_kind)
        if touches or not size or not kind:
            break
        last_end, last_kind = addr + size, kind
        at += 1
    else:
        return ordered if last_end <= _U64_MAX else None
    out = ordered[:at]
    for row in ordered[at:]:
        addr, size, kind = row
        if not size:
            continue
        if addr < last_end:
            return None
        if kind:
            if addr == last_end and kind == last_kind and kind not in never_merge:
                start = out[-1][0]
                out[-1] = (start, addr + size - start, kind)
            else:
                out.append(row)
        last_end, last_kind = addr + size, kind
    return out if last_end <= _U64_MAX else None


def sweep_overlapping(
    rows: Iterable[Row], never_merge: Collection[int] = ()
) -> list[Row]:
    """Return what :func:`sweep_rows` does, at its full cost."""
    starting: dict[int, list[_Active]] = {}
    ends = set()
    for addr, size, kind in rows:
        if size:
            end = addr + size
            ends.add(end)
            starting.setdefault(addr, []).append((-kind, end))
    out: list[Row] = []
    active: list[_Active] = []
    last_type = last_addr = 0
    for point in sorted(ends.union(starting)):
        for item in starting.get(point, ()):
            heapq.heappush(active, item)
        while active and active[0][1] <= point:
            heapq.heappop(active)
        current = -active[0][0] if active else 0
        if current == last_type and current not in never_merge:
            continue
        if last_type and point != last_addr:
            out.append((last_addr, point - last_addr, last_type))
        last_addr, last_type = point, current
    return out


def sweep_arrays(
    addr: U64, size: U64, kind: U32, never_merge: Collection[int] = ()
) -> tuple[U64, U64, U32]:
    """Resolve overlaps over whole arrays; O(n log n) whatever the nesting.

    Args:
        addr: uint64, shape (n,), bytes.
        size: uint64, shape (n,), bytes; ``addr + size`` below 2^64.
        kind: uint32, shape (n,), e820 types.
        never_merge: see :func:`sweep_rows`.

    Returns:
        ``addr``, ``size``, ``type`` of the resolved table, sorted by address.
    """
    if addr.size <= _SMALL:
        return _plain(addr, size, kind, never_merge)
    if addr.size <= _SMALL_PER_TYPE * _MANY_TYPES:
        present = len(set(kind.tolist()))
        if addr.size <= _SMALL_PER_TYPE * present:
            return _plain(addr, size, kind, never_merge)
    end = addr + size
    if bool(np.all(end[:-1] <= addr[1:])) and bool(np.all(size)):
        return _joined(addr, end, kind, never_merge)
    kinds = distinct(kind[(size != 0) & (kind != 0)])
    if kinds.size > _MANY_TYPES:
        return _plain(addr, size, kind, never_merge)
    by_type = _by_type(addr, end, kind, kinds[::-1])
    split = set(never_merge).intersection(kinds.tolist())
    if split:
        # Rows of type 0 have change points too.
        points = distinct(np.concatenate((addr[size != 0], end[size != 0])))
        by_type = [(k, _split(b, points) if k in split else b) for k, b in by_type]
    return _merged(by_type)


def distinct(values: NDArray[_Number]) -> NDArray[_Number]:
    """Return the values in rising order, each once.

    ``np.unique()`` hashes, which costs ten sorts where there are many, and imports
    numpy.ma: 20 ms of every short command.
    """
    ordered: NDArray[_Number] = np.sort(values)
    distinct: NDArray[_Number] = ordered[
        np.append(True, ordered[1:] != ordered[:-1])[: ordered.size]
    ]
    return distinct


def _plain(
    addr: U64, size: U64, kind: U32, never_merge: Collection[int]
) -> tuple[U64, U64, U32]:
    rows = zip(addr.tolist(), size.tolist(), kind.tolist(), strict=True)
    addrs, sizes, kinds = tuple(zip(*sweep_rows(rows, never_merge), strict=True)) or (
        (),
        (),
        (),
    )
    return (
        np.array(addrs, np.uint64),
        np.array(sizes, np.uint64),
        np.array(kinds, np.uint32),
    )


def _joined(
    addr: U64, end: U64, kind: U32, never_merge: Collection[int]
) -> tuple[U64, U64, U32]:
    # Rows in order that do not overlap: only neighbours can become one.
    joins = (end[:-1] == addr[1:]) & (kind[:-1] == kind[1:])
    for value in never_merge:
        joins &= kind[1:] != value
    first = np.flatnonzero(np.append(True, ~joins))
    last = np.append(first[1:], addr.size) - 1
    kept = kind[first] != 0
    first, last = first[kept], last[kept]
    return addr[first], end[last] - addr[first], kind[first]


def _by_type(
    addr: U64, end: U64, kind: U32, descending: U32
) -> list[tuple[int, Bounds]]:
    # The ranges in which each type wins: what no higher type covers.
    by_type = []
    above: Bounds = (np.empty(0, np.uint64), np.empty(0, np.uint64))
    for left, value in zip(range(descending.size)[::-1], descending, strict=True):
        rows = kind == value
        bounds = subtract_bounds(coalesce_bounds(addr[rows], end[rows]), above)
        by_type.append((int(value), bounds))
        if left:
            above = merge_bounds(above, bounds)
    return by_type


def _split(bounds: Bounds, points: U64) -> Bounds:
    # Cut ranges at every point strictly inside one.
    starts, ends = bounds
    if not starts.size:
        return bounds
    at = np.searchsorted(starts, points, side="left") - 1
    inside = (at >= 0) & (points < ends[at])
    cuts = points[inside]
    return merge_sorted(starts, cuts), merge_sorted(ends, cuts)


def _merged(by_type: Sequence[tuple[int, Bounds]]) -> tuple[U64, U64, U32]:
    none = np.empty(0, np.uint64)
    starts = np.concatenate([none, *(bounds[0] for _, bounds in by_type)])
    ends = np.concatenate([none, *(bounds[1] for _, bounds in by_type)])
    counts = np.array([bounds[0].size for _, bounds in by_type], np.int64)
    kind = np.repeat(np.array([value for value, _ in by_type], np.uint32), counts)
    # Sorted runs in a row: a stable sort only merges them.
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    return starts, ends[order] - starts, kind[order]
