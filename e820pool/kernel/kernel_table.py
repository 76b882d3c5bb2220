"""A kernel's own e820 table, with the edits that early boot makes to it.

Rows that do not fit are kept in :attr:`Table.dropped`: a kernel prints a line and
goes on. Linux 6.1 arch/x86/kernel/e820.c; 3.10 to 7.3 alike.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import chain, islice
from operator import lt
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.sweep import join_disjoint, sweep_arrays, sweep_overlapping

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from e820pool.range_lists import Row

__all__ = (
    "Sanitized",
    "Table",
    "is_swept",
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
    if len(rows) < _MIN_ENTRIES:
        return Sanitized(rows=rows, refused=True)
    resolved = join_disjoint(rows, never_merge)
    if resolved is None:
        if _reaches_the_top(rows):
            return Sanitized(rows=rows, refused=True)
        resolved = sweep_overlapping(rows, never_merge)
    return Sanitized(rows=resolved[:capacity], cut=resolved[capacity:])


def is_swept(rows: list[Row]) -> bool:
    """Return whether every kernel's sweep leaves these rows as they are.

    That is so of most firmware's tables: in order, no two overlap or can be joined.
    """
    if len(rows) < _MIN_ENTRIES or not all(map(lt, rows, islice(rows, 1, None))):
        return False
    return join_disjoint(rows) == rows


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


_GONE: Row = (0, 0, 0)


class Table:
    """Rows in table order, at most ``capacity`` of them.

    Attributes:
        rows: ``(addr, size, type)``; unsorted and overlapping until sanitised.
        dropped: rows that did not fit, in the order in which they were lost.
        most: how many rows there were at any time, those that did not fit included.
    """

    # All of rows[:_settled] of the list _resolved is as the last sweep left it, but for
    # what was edited since, which lies in rows[_low:_high].
    __slots__ = (
        "_high",
        "_low",
        "_resolved",
        "_settled",
        "capacity",
        "dropped",
        "most",
        "never_merge",
        "rows",
    )

    def __init__(self, capacity: int, never_merge: Collection[int] = ()) -> None:
        """Make an empty table for ``capacity`` rows."""
        self.capacity = capacity
        self.never_merge = never_merge
        self.rows: list[Row] = []
        self.dropped: list[Row] = []
        self._resolved: list[Row] | None = None
        self._settled = self._low = self._high = self.most = 0

    def copy(self) -> Table:
        """Return a table with the same rows that has lost none itself."""
        other = Table(self.capacity, self.never_merge)
        other.rows, other.most = self.rows.copy(), self.most
        if self._resolved is self.rows:
            other._resolved = other.rows
            other._settled = self._settled
            other._low, other._high = self._low, self._high
        return other

    def add(self, addr: int, size: int, kind: int) -> None:
        """Append a row, or drop it when the table is full.

        __e820__range_add().
        """
        self.most = max(self.most, len(self.rows) + 1)
        if len(self.rows) < self.capacity:
            self.rows.append((addr, size, kind))
        else:
            self.dropped.append((addr, size, kind))

    def add_all(self, rows: Iterable[Row]) -> None:
        """Append rows in order; those that do not fit are dropped."""
        rows = list(rows)
        self.most = max(self.most, len(self.rows) + len(rows))
        room = self.capacity - len(self.rows)
        self.rows += rows[:room]
        self.dropped += rows[room:]

    def fill(self, rows: list[Row]) -> None:
        """Take rows that :func:`is_swept` as the whole table; no more than fit."""
        self.rows, self.most = rows.copy(), max(self.most, len(rows))
        self._hold_swept()

    def sanitize(self) -> bool:
        """Resolve overlaps; return False when the kernel refuses the table.

        e820__update_table().
        """
        rows = self._sweep_of_edits()
        if rows is None:
            done = sanitize_rows(
                self.rows, capacity=self.capacity, never_merge=self.never_merge
            )
            if done.refused:
                return False
            rows = done.rows + list(done.cut)
        self.most = max(self.most, len(rows))
        self.rows = rows[: self.capacity]
        self.dropped += rows[self.capacity :]
        self._hold_swept()
        return True

    def _hold_swept(self) -> None:
        self._resolved, self._settled = self.rows, len(self.rows)
        self._low = self._high = 0

    # What the whole sweep would give, where all that was edited since the last one
    # still lies between its neighbours; None where it does not.
    def _sweep_of_edits(self) -> list[Row] | None:
        rows, low, high = self.rows, self._low, self._high
        if self._resolved is not rows or len(rows) < _MIN_ENTRIES:
            return None
        below, above = rows[:low], rows[high : self._settled]
        edited = [row for row in rows[low:high] + rows[self._settled :] if row[1]]
        if not edited:
            return below + above
        lowest = sum(below[-1][:2]) if below else 0
        highest = above[0][0] if above else _U64_MAX
        if min(edited)[0] < lowest or max([a + s for a, s, _ in edited]) > highest:
            return None
        between = join_disjoint(edited, self.never_merge)
        if between is None:
            between = sweep_overlapping(edited, self.never_merge)
        return self._joined(self._joined(below, between), above)

    # Two resolved tables, one behind the other, as one.
    def _joined(self, below: list[Row], above: list[Row]) -> list[Row]:
        if below and above:
            (addr, size, kind), (start, length, its) = below[-1], above[0]
            if addr + size == start and kind == its and kind not in self.never_merge:
                return [*below[:-1], (addr, size + length, kind), *above[1:]]
        return below + above

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
                self._replace(at, (first, length, new))
            elif first < addr and row_end > end:
                self.add(addr, end - addr, new)
                self.add(end, row_end - end, kind)
                self._replace(at, (first, addr - first, kind))
            else:
                low, high = max(addr, first), min(end, row_end)
                if low < high:
                    self.add(low, high - low, new)
                    self._replace(at, _without(row, low, high))

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
                self._replace(at, _GONE)
            elif first < addr and row_end > end:
                self.add(end, row_end - end, kind)
                self._replace(at, (first, addr - first, kind))
            else:
                low, high = max(addr, first), min(end, row_end)
                if low < high:
                    self._replace(at, _without(row, low, high))

    def _replace(self, at: int, row: Row) -> None:
        self.rows[at] = row
        if at < self._settled:
            is_first = self._low == self._high
            self._low = at if is_first else min(at, self._low)
            self._high = max(at + 1, self._high)

    # The kernel walks the growing table; what is appended on the way lies outside
    # of the range or has another type. A row that wraps ends below its start. Rows
    # that a sweep left are in order, and none of them wraps.
    def _touching(self, addr: int, end: int) -> list[int]:
        rows = self.rows
        places: Iterable[int] = range(len(rows))
        if self._resolved is rows:
            places = chain(
                self._settled_about(addr, end, 0, self._low),
                range(self._low, self._high),
                self._settled_about(addr, end, self._high, self._settled),
                range(self._settled, len(rows)),
            )
        return [
            at
            for at in places
            for first, size, _ in (rows[at],)
            if (first <= end and first + size >= addr) or first + size > _U64_MAX
        ]

    # Of rows in order that lie apart two can end at addr or above it.
    def _settled_about(self, addr: int, end: int, first: int, last: int) -> range:
        low = bisect_left(self.rows, (addr + 1,), first, last) - 2
        return range(max(low, first), bisect_left(self.rows, (end + 1,), first, last))

    def covers(self, addr: int, end: int, kind: int) -> bool:
        """Return whether rows of the type cover the range, in table order.

        Right for sorted tables only, as in the kernel. __e820__mapped_all().
        """
        rows = self.rows
        is_edited = self._low < self._high or self._settled < len(rows)
        if self._resolved is rows and not is_edited:
            # In order and apart: all but these lie outside of the range.
            first_above = bisect_left(rows, (addr + 1,))
            rows = rows[max(first_above - 1, 0) : bisect_left(rows, (end,))]
        for first, size, type_ in rows:
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
