"""The kernel's overlap resolution, with its refusals and its limit.

The rule of the overlap itself, the highest type wins, is :mod:`e820pool.sweep`;
a kernel adds two refusals (a table of fewer than two entries, an entry whose end
reaches 2^64) and stops when its table is full. Linux 6.1, 2.6.32 to 7.3 alike:
arch/x86/kernel/e820.c e820__update_table(), before 4.12 sanitize_e820_map().
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.sweep import sweep_arrays, sweep_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from e820pool.kernel.view import Row

__all__ = ("Sanitized", "sanitize_rows", "sanitize_table")

_U64_MAX = (1 << 64) - 1
# The kernel leaves smaller tables as they are.
_MIN_ENTRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanitized:
    """Hold the outcome of one pass.

    Attributes:
        rows: the table afterwards; the one that was given when refused.
        refused: the kernel left the table as it was.
        cut: rows for which the table had no room.
    """

    rows: list[Row]
    refused: bool = False
    cut: Sequence[Row] = ()


def sanitize_rows(
    rows: list[Row], *, capacity: int, never_merge: Collection[int] = ()
) -> Sanitized:
    """Return what a kernel makes of the table; for tables of a kernel's size.

    Args:
        rows: ``(addr, size, type)`` below 2^64 and 2^32.
        capacity: entries that the table holds; ``rows`` are no more than that.
        never_merge: types that this kernel never joins (:class:`Profile`).
    """
    if len(rows) < _MIN_ENTRIES or _reaches_the_top(rows):
        return Sanitized(rows=rows, refused=True)
    resolved = _join_disjoint(rows, never_merge)
    if resolved is None:
        resolved = sweep_rows(rows, never_merge)
    return Sanitized(rows=resolved[:capacity], cut=resolved[capacity:])


def sanitize_table(
    table: NDArray[Any],
    *,
    capacity: int | None = None,
    never_merge: Collection[int] = (),
) -> tuple[NDArray[Any], bool]:
    """Return the resolved table of any length, and whether it was refused.

    The same rule over whole arrays of ``E820_DTYPE``; ``capacity`` None sets no
    limit.
    """
    ends = table["addr"] + table["size"]
    if table.size < _MIN_ENTRIES or bool(np.any(ends < table["addr"])):
        return table, True
    addr, size, kind = sweep_arrays(
        table["addr"], table["size"], table["type"], never_merge
    )
    done = np.empty(addr.size, table.dtype)
    done["addr"], done["size"], done["type"] = addr, size, kind
    return done[:capacity], False


def _reaches_the_top(rows: list[Row]) -> bool:
    # addr + size in 64 bits is below addr exactly when the sum does not fit.
    return max([addr + size for addr, size, _ in rows]) > _U64_MAX


# Most tables have no overlap: one pass in address order, None when there is one.
def _join_disjoint(rows: list[Row], never_merge: Collection[int]) -> list[Row] | None:
    out: list[Row] = []
    last_start = last_end = last_type = 0
    for addr, size, kind in sorted(rows):
        if not size:
            continue
        if addr < last_end:
            return None
        if addr == last_end and kind == last_type and kind not in never_merge:
            last_end += size
            continue
        if last_type:
            out.append((last_start, last_end - last_start, last_type))
        last_start, last_end, last_type = addr, addr + size, kind
    if last_type:
        out.append((last_start, last_end - last_start, last_type))
    return out
