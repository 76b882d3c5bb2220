"""A kernel's own e820 table, with the edits that early boot makes to it.

Rows that do not fit are kept in :attr:`Table.dropped`: a kernel prints a line and
goes on. Linux 6.1 arch/x86/kernel/e820.c; 3.10 to 7.3 alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.sweep import sweep_arrays, sweep_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from e820pool.kernel.view import Row

__all__ = (
    "Sanitized",
    "Table",
    "sanitize_rows",
    "sanitize_table",
)

# The kernel's overlap resolution, with its refusals and its limit.
#
# The rule of the overlap itself, the highest type wins, is :mod:`e820pool.sweep`;
# a kernel adds two refusals (a table of fewer than two entries, an entry whose end
# reaches 2^64) and stops when its table is full. Linux 6.1, 2.6.32 to 7.3 alike:
# arch/x86/kernel/e820.c e820__update_table(), before 4.12 sanitize_e820_map().

_U64_MAX = (1 << 64) - 1
# The kernel leaves smaller tables as they are.
_MIN_ENTRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanitized:
    """The outcome of one pass of the overlap sweep.

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


_GONE: Row = (0, 0, 0)


class Table:
    """Rows in table order, at most ``capacity`` of them.

    Attributes:
        rows: ``(addr, size, type)``; unsorted and overlapping until sanitised.
        dropped: rows that did not fit, in the order in which they were lost.
    """

    __slots__ = ("capacity", "dropped", "never_merge", "rows")

    def __init__(self, capacity: int, never_merge: Collection[int] = ()) -> None:
        """Make an empty table for ``capacity`` rows."""
        self.capacity = capacity
        self.never_merge = never_merge
        self.rows: list[Row] = []
        self.dropped: list[Row] = []

    def copy(self) -> Table:
        """Return a table with the same rows that has lost none itself."""
        other = Table(self.capacity, self.never_merge)
        other.rows = self.rows.copy()
        return other

    def add(self, addr: int, size: int, kind: int) -> None:
        """Append a row, or drop it when the table is full.

        __e820__range_add().
        """
        if len(self.rows) < self.capacity:
            self.rows.append((addr, size, kind))
        else:
            self.dropped.append((addr, size, kind))

    def add_all(self, rows: Iterable[Row]) -> None:
        """Append rows in order; those that do not fit are dropped."""
        rows = list(rows)
        room = self.capacity - len(self.rows)
        self.rows += rows[:room]
        self.dropped += rows[room:]

    def sanitize(self) -> bool:
        """Resolve overlaps; return False when the kernel refuses the table.

        e820__update_table().
        """
        done = sanitize_rows(
            self.rows, capacity=self.capacity, never_merge=self.never_merge
        )
        self.rows = done.rows
        self.dropped += done.cut
        return not done.refused

    def retype(self, addr: int, size: int, old: int, new: int) -> None:
        """Give the parts of ``old`` rows in the range the type ``new``.

        What does not fit is dropped: the tail of a row that is split in a full
        table is lost.
        __e820__range_update().
        """
        end = addr + min(size, _U64_MAX - addr)
        for at in self._touching(addr, end):
            first, length, kind = row = self.rows[at]
            row_end = (first + length) & _U64_MAX
            if kind != old:
                continue
            if first >= addr and row_end <= end:
                self.rows[at] = (first, length, new)
            elif first < addr and row_end > end:
                self.add(addr, end - addr, new)
                self.add(end, row_end - end, kind)
                self.rows[at] = (first, addr - first, kind)
            else:
                low, high = max(addr, first), min(end, row_end)
                if low < high:
                    self.add(low, high - low, new)
                    self.rows[at] = _without(row, low, high)

    def remove(self, addr: int, size: int, old: int | None) -> None:
        """Take the range out of all rows, or of ``old`` rows only.

        A row that lies inside becomes an empty one. e820__range_remove().
        """
        end = addr + min(size, _U64_MAX - addr)
        for at in self._touching(addr, end):
            first, length, kind = row = self.rows[at]
            row_end = (first + length) & _U64_MAX
            if old is not None and kind != old:
                continue
            if first >= addr and row_end <= end:
                self.rows[at] = _GONE
            elif first < addr and row_end > end:
                self.add(end, row_end - end, kind)
                self.rows[at] = (first, addr - first, kind)
            else:
                low, high = max(addr, first), min(end, row_end)
                if low < high:
                    self.rows[at] = _without(row, low, high)

    # The kernel walks the growing table; what is appended on the way lies outside
    # of the range or has another type. A row that wraps ends below its start.
    def _touching(self, addr: int, end: int) -> list[int]:
        return [
            at
            for at, (first, size, _) in enumerate(self.rows)
            if (first <= end and first + size >= addr) or first + size > _U64_MAX
        ]

    def covers(self, addr: int, end: int, kind: int) -> bool:
        """Return whether rows of the type cover the range, in table order.

        Right for sorted tables only, as in the kernel. __e820__mapped_all().
        """
        for first, size, type_ in self.rows:
            row_end = (first + size) & _U64_MAX
            if type_ != kind or first >= end or row_end <= addr:
                continue
            if first <= addr:
                addr = row_end
            if addr >= end:
                return True
        return False


# What is left of a row that the range [low, high) overlaps at one of its ends.
def _without(row: Row, low: int, high: int) -> Row:
    first, size, kind = row
    return (first if first < low else high), size - (high - low), kind
