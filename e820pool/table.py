"""E820Table: the entries of one table, and what they name as sets of bytes."""

from __future__ import annotations

from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING, Self

import numpy as np

from e820pool.abi.e820 import E820_DTYPE, E820_TYPE_RESERVED, table_of
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet
from e820pool.sweep import sweep_arrays, sweep_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from e820pool.range_lists import Row

__all__ = ("E820Table",)

# Rows up to which a loop over them is quicker than numpy's calls.
_SHORT = 256
_U64_MAX, _U32_MAX = (1 << 64) - 1, (1 << 32) - 1


class E820Table:
    """The entries of a table in its order, overlaps and all.

    What an entry names is ``[addr, addr + size)``, and there is one rule for all
    tables: an entry that reaches 2^64, or wraps there, names all bytes from its
    start on (up to :attr:`.ByteRangeSet.LIMIT`, the last byte cannot be named). A
    table with such an entry cannot be resolved: Linux e820__update_table()
    (arch/x86/kernel/e820.c, 2.6.32 to 7.3) refuses it whole.

    Sets are made once: a table that is asked again answers from memory. A table of a
    kernel's size is worked on as rows, a longer one as an array.

    Attributes:
        entries: E820_DTYPE array (addr, size in bytes; type), shape (n,). Not to be
            changed any more.

    Example:
        >>> from e820pool.table import E820Table
        >>> table = E820Table.of([(0x0, 0x5000, 1), (0x1000, 0x1000, 2)])
        >>> table.bytes_of(1), table.resolved().bytes_of(1)
        (ByteRangeSet([0x0, 0x5000)), ByteRangeSet([0x0, 0x1000), [0x2000, 0x5000)))
    """

    def __init__(self, entries: NDArray[Any]) -> None:
        self.entries = entries
        # By the types that are named, and by those that are not.
        self._sets: dict[tuple[int, ...], ByteRangeSet] = {}
        self._others: dict[tuple[int, ...], ByteRangeSet] = {}
        self._reserving: dict[ByteRangeSet, E820Table] = {}

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Self:
        """Return the table of ``(addr, size, type)`` rows.

        Raises:
            InputError: a number does not fit its field.
        """
        if isinstance(rows, list | tuple) and _are_short(rows):
            return cls._of_rows(list(rows))
        return cls(table_of(rows))

    @classmethod
    def of_valid(cls, rows: Sequence[Row]) -> Self:
        """Return the table of rows of which it is known that numbers fit their fields.

        A modelled kernel's table is made of such rows.
        """
        return cls._of_rows(list(rows)) if len(rows) <= _SHORT else cls(table_of(rows))

    @classmethod
    def _of_rows(cls, rows: list[Row]) -> Self:
        table = cls.__new__(cls)
        table.__dict__.update(_rows=rows, _sets={}, _others={}, _reserving={})
        return table

    @cached_property
    def entries(self) -> NDArray[Any]:
        """The entries, as an array."""
        return table_of(self._rows or ())

    # All of a short table, None of a longer one.
    @cached_property
    def _rows(self) -> list[Row] | None:
        return self.entries.tolist() if self.entries.size <= _SHORT else None

    @classmethod
    def joined(cls, tables: Iterable[NDArray[Any]]) -> Self:
        """Return the table of the entries of several, one after the other."""
        return cls(np.concatenate((np.empty(0, E820_DTYPE), *tables)))

    def __len__(self) -> int:
        return len(self._rows) if self._rows is not None else int(self.entries.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, E820Table):
            return NotImplemented
        if self._rows is not None or other._rows is not None:
            return self._rows == other._rows
        return bool(np.array_equal(self.entries, other.entries))

    def __hash__(self) -> int:
        if self._rows is not None:
            return hash(tuple(self._rows))
        return hash(self.entries.tobytes())

    def __repr__(self) -> str:
        return f"{type(self).__name__}.of({self.rows()!r})"

    def rows(self) -> list[Row]:
        """Return ``(addr, size, type)`` as plain integers, in order."""
        if self._rows is not None:
            return self._rows.copy()
        return [(addr, size, kind) for addr, size, kind in self.entries.tolist()]

    @cached_property
    def ends(self) -> NDArray[np.uint64]:
        """The exclusive end of each entry: 2^64 - 1 for one that reaches 2^64."""
        ends: NDArray[np.uint64] = self.entries["addr"] + self.entries["size"]
        ends[self.reaches_top] = ByteRangeSet.LIMIT
        return ends

    @cached_property
    def reaches_top(self) -> NDArray[np.bool_]:
        """Whether each entry reaches 2^64 or wraps there."""
        wraps: NDArray[np.bool_] = (
            self.entries["addr"] + self.entries["size"] < self.entries["addr"]
        )
        return wraps

    @property
    def is_refused(self) -> bool:
        """Whether some entry reaches 2^64, so that nobody can resolve the table."""
        if self._rows is not None:
            return any(addr + size > ByteRangeSet.LIMIT for addr, size, _ in self._rows)
        return bool(self.reaches_top.any())

    @cached_property
    def covered(self) -> ByteRangeSet:
        """The bytes that entries of any type name."""
        if self._rows is not None:
            return _named_by(self._rows)
        return ByteRangeSet.from_bounds(self.entries["addr"], self.ends)

    def bytes_of(self, *types: int) -> ByteRangeSet:
        """Return the bytes that entries of these types name, whatever lies over them.

        Once overlaps are :meth:`resolved` every byte has one type.
        """
        ranges = self._sets.get(types)
        if ranges is None:
            if self._rows is not None:
                ranges = _named_by([row for row in self._rows if row[2] in types])
            else:
                ranges = self._named(self.is_of(*types))
            self._sets[types] = ranges
        return ranges

    def bytes_but(self, *types: int) -> ByteRangeSet:
        """Return the bytes that entries of all other types name."""
        ranges = self._others.get(types)
        if ranges is None:
            if self._rows is not None:
                ranges = _named_by([row for row in self._rows if row[2] not in types])
            else:
                ranges = self._named(~self.is_of(*types))
            self._others[types] = ranges
        return ranges

    def is_of(self, *types: int) -> NDArray[np.bool_]:
        """Return whether each entry is of one of these types, shape (n,)."""
        masks = (self.entries["type"] == kind for kind in types)
        return reduce(or_, masks, np.zeros(len(self), np.bool_))

    def _named(self, rows: NDArray[np.bool_]) -> ByteRangeSet:
        return ByteRangeSet.from_bounds(self.entries["addr"][rows], self.ends[rows])

    def overlapping(self, start: int, end: int) -> E820Table:
        """Return the entries that name a byte of ``[start, end)``, in order."""
        low, high = (min(at, ByteRangeSet.LIMIT) for at in (start, end))
        if self._rows is not None:
            over = [
                (addr, size, kind)
                for addr, size, kind in self._rows
                if addr < high
                and size
                and low < ByteRangeSet.LIMIT
                and addr + size > low
            ]
            return E820Table.of_valid(over)
        addrs = self.entries["addr"]
        is_over = (addrs < np.uint64(high)) & (self.ends > np.uint64(low))
        return E820Table(self.entries[is_over & (addrs < self.ends)])

    def where(self, rows: NDArray[np.bool_]) -> E820Table:
        """Return the entries that a mask of shape (n,) keeps, in order."""
        return E820Table(self.entries[rows])

    def validate_resolvable(self) -> None:
        """Raise InputError, naming the first entry that reaches 2^64."""
        if not self.is_refused:
            return
        for at in np.flatnonzero(self.reaches_top)[:1].tolist():
            addr, size, _ = self.entries[at].tolist()
            raise InputError(
                f"entry {at} at {addr:#x} with size {size:#x} reaches 2^64: the limit "
                f"of an entry's end is {ByteRangeSet.LIMIT:#x}"
            )

    def resolved(self) -> E820Table:
        """Return the sorted, disjoint table: where entries overlap, the highest type.

        Raises:
            InputError: an entry reaches 2^64.
        """
        self.validate_resolvable()
        return self._resolved

    def reserving(self, ranges: ByteRangeSet) -> E820Table:
        """Return the resolved table in which these bytes are RESERVED, or more, too.

        Raises:
            InputError: an entry reaches 2^64.
        """
        table = self._reserving.get(ranges)
        if table is None:
            more = [(start, end - start, E820_TYPE_RESERVED) for start, end in ranges]
            joined = E820Table.of([*self.rows(), *more])
            table = self._reserving[ranges] = joined.resolved()
        return table

    @cached_property
    def _resolved(self) -> E820Table:
        table = self._swept()
        # Of a table without overlaps nothing is left to resolve.
        table.__dict__["_resolved"] = table
        return table

    def _swept(self) -> E820Table:
        if self._rows is not None:
            return E820Table.of_valid(sweep_rows(self._rows))
        columns = sweep_arrays(*(self.entries[name] for name in _COLUMNS))
        flat = np.empty(columns[0].size, E820_DTYPE)
        for name, column in zip(_COLUMNS, columns, strict=True):
            flat[name] = column
        return E820Table(flat)


_COLUMNS = ("addr", "size", "type")


# Whether rows are so few that plain Python is quicker, and fit their fields; all others
# are validated where an array is made of them.
def _are_short(rows: Sequence[Row]) -> bool:
    if len(rows) > _SHORT:
        return False
    try:
        return all(
            type(addr) is type(size) is type(kind) is int
            and 0 <= addr <= _U64_MAX
            and 0 <= size <= _U64_MAX
            and 0 <= kind <= _U32_MAX
            for addr, size, kind in rows
        )
    except (TypeError, ValueError):
        return False


def _named_by(rows: list[Row]) -> ByteRangeSet:
    limit = ByteRangeSet.LIMIT
    ranges = [(addr, addr + size) for addr, size, _ in rows]
    if max([end for _, end in ranges], default=0) > limit:
        ranges = [(addr, min(end, limit)) for addr, end in ranges]
    return ByteRangeSet.of_valid(ranges)
