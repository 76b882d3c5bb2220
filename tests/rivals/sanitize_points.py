"""The kernel's overlap resolution point by point, in plain Python.

The slow way of :mod:`e820pool.kernel.kernel_table`: change points in order, a list of
the entries that are open at each, one decision a point. It is what the fast way
is tested against, and the base of its benchmark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from e820pool.range_lists import Row

__all__ = ("sanitize_by_points",)

_U64 = 1 << 64
_START, _END = 0, 1


def sanitize_by_points(
    rows: Sequence[Row], capacity: int, never_merge: Collection[int] = ()
) -> list[Row] | None:
    """Return the resolved rows, None when the kernel refuses the table.

    Follows e820__update_table() of Linux 6.1 (arch/x86/kernel/e820.c) step by
    step: starts come before ends at one address, and a decision is taken after
    every single point.
    """
    if len(rows) < 2 or any((a + s) % _U64 < a for a, s, _ in rows):
        return None
    out: list[Row] = []
    open_entries: list[int] = []
    last_addr = last_type = 0
    for addr, side, index in _change_points(rows):
        if side == _START:
            open_entries.append(index)
        else:
            open_entries.remove(index)
        current = max((rows[i][2] for i in open_entries), default=0)
        if current == last_type and current not in never_merge:
            continue
        if last_type and addr != last_addr:
            out.append((last_addr, addr - last_addr, last_type))
            if len(out) >= capacity:
                break
        if current:
            last_addr = addr
        last_type = current
    return out


def _change_points(rows: Sequence[Row]) -> list[tuple[int, int, int]]:
    points = []
    for index, (addr, size, _) in enumerate(rows):
        if size:
            points += [(addr, _START, index), (addr + size, _END, index)]
    return sorted(points)
