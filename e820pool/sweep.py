"""The overlap sweep: at every address the highest type wins.

    in    [----- 1 -----------------)
               [-- 2 --)   [-- 3 ------)
    out   [ 1 )[-- 2 --)[ 1)[-- 3 -----)

This is the rule by which every kernel resolves overlapping e820 entries
(e820__update_table(), before 4.12 sanitize_e820_map()); what a kernel adds to
it (refusals, capacity) is in the kernel room.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]
    U32 = NDArray[np.uint32]
    Row = tuple[int, int, int]

__all__ = ("sweep_arrays", "sweep_rows")

# Up to here a plain loop is as fast as numpy's fixed costs.
_SMALL = 96
# One prefix sum a type: beyond this many types the heap is cheaper.
_MANY_TYPES = 64


def sweep_rows(rows: Sequence[Row], never_merge: Collection[int] = ()) -> list[Row]:
    """Resolve overlaps in plain Python; the reference for :func:`sweep_arrays`.

    Args:
        rows: ``(addr, size, type)`` in any order; ``addr + size`` below 2^64.
        never_merge: types that are split at every change point inside them and
            never joined with a neighbour.

    Returns:
        Sorted, disjoint rows. Touching rows of one type are joined. Size 0 and
        type 0 rows contribute nothing.
    """
    points = sorted({p for a, s, _ in rows if s for p in (a, a + s)})
    starting: dict[int, list[tuple[int, int]]] = {}
    for addr, size, kind in rows:
        if size:
            starting.setdefault(addr, []).append((-kind, addr + size))
    out: list[Row] = []
    active: list[tuple[int, int]] = []
    last_type = last_addr = 0
    for point in points:
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
    real = (size != 0) & (kind != 0)
    kinds = np.unique(kind[real])
    if addr.size <= _SMALL or kinds.size > _MANY_TYPES:
        rows = list(zip(addr.tolist(), size.tolist(), kind.tolist(), strict=True))
        return _columns(sweep_rows(rows, never_merge))
    # Type 0 is a change point too: it splits types that never merge.
    sized = size != 0
    return _sweep_bulk(addr[sized], size[sized], kind[sized], kinds, never_merge)


def _columns(rows: Sequence[Row]) -> tuple[U64, U64, U32]:
    return (
        np.array([r[0] for r in rows], np.uint64),
        np.array([r[1] for r in rows], np.uint64),
        np.array([r[2] for r in rows], np.uint32),
    )


def _sweep_bulk(
    addr: U64, size: U64, kind: U32, kinds: U32, never_merge: Collection[int]
) -> tuple[U64, U64, U32]:
    points = np.concatenate((addr, addr + size))
    order = np.argsort(points)
    points = points[order]
    # The state after the last of several points at one address is what counts.
    settled = np.flatnonzero(np.append(points[1:] != points[:-1], True))
    step = np.ones(points.size, np.int32)
    step[order >= addr.size] = -1
    owner = kind[order % addr.size]
    state = np.zeros(settled.size, np.uint32)
    for one in kinds:
        alive = np.cumsum(np.where(owner == one, step, 0), dtype=np.int32)[settled]
        state[alive > 0] = one
    points = points[settled]
    splits = np.isin(state, np.array(list(never_merge), np.uint32))
    previous = np.concatenate((np.zeros(1, np.uint32), state[:-1]))
    edges = np.flatnonzero((state != previous) | splits)
    starts, types = points[edges], state[edges]
    ends = np.append(points[edges[1:]], points[-1:])
    keep = types != 0
    return starts[keep], (ends - starts)[keep], types[keep]
