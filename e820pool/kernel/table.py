"""A kernel's own e820 table, with the edits that early boot makes to it.

Rows that do not fit are kept in :attr:`Table.dropped`: a kernel prints a line and
goes on. Linux 6.1 arch/x86/kernel/e820.c; 3.10 to 7.3 alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.kernel.sanitize import sanitize_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from e820pool.kernel.view import Row

__all__ = ("Table",)

_U64_MAX = (1 << 64) - 1
_GONE: Row = (0, 0, 0)


class Table:
    """Hold rows in table order, at most ``capacity`` of them.

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
