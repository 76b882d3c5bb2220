"""Strategies for e820 entries: clean ones, and those that firmware gets wrong."""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import strategies as st

from e820pool.abi.e820 import E820Array, table_of
from e820pool.extents import PAGE_SIZE

__all__ = ("Row", "any_rows", "e820_tables", "e820_types", "sorted_rows")

Row: TypeAlias = tuple[int, int, int]
"""``(addr, size, type)``; bytes, bytes, e820 type."""

# What firmware says, what kernels add, and numbers nobody knows.
_TYPES = (1, 2, 3, 4, 5, 7, 12, 0xEFFF_FFFF, 13, 20, 0x504D_504F)
_U64_LIMIT = 1 << 64
_U32_MAX = (1 << 32) - 1

# A table's entries meet at few addresses, or they would hardly ever overlap.
_GRID = 16


def e820_types() -> st.SearchStrategy[int]:
    """Make e820 types, RAM first: known ones, and numbers that no kernel knows.

    >>> from hypothesis import find
    >>> find(e820_types(), lambda kind: kind != 1)
    2
    """
    return st.sampled_from(_TYPES)


@st.composite
def sorted_rows(
    draw: st.DrawFn,
    *,
    min_size: int = 1,
    max_size: int = 12,
    types: st.SearchStrategy[int] | None = None,
    unit: int = PAGE_SIZE,
) -> list[Row]:
    """Make rows that are sorted, disjoint, of whole units; with gaps or without.

    Args:
        draw: passed by Hypothesis.
        min_size: of the list.
        max_size: of the list.
        types: what each row's type is drawn from, by default ``e820_types()``.
        unit: bytes of which addresses and sizes are multiples.

    >>> from hypothesis import find
    >>> find(sorted_rows(), lambda rows: len(rows) == 2)
    [(0, 4096, 1), (4096, 4096, 1)]
    """
    kinds = e820_types() if types is None else types
    rows, reach = [], 0
    for _ in range(draw(st.integers(min_size, max_size))):
        addr = reach + draw(st.integers(0, 1 << 20)) * unit
        size = draw(st.integers(1, 1 << 24)) * unit
        rows.append((addr, size, draw(kinds)))
        reach = addr + size
    return rows


@st.composite
def any_rows(draw: st.DrawFn, *, max_size: int = 12) -> list[Row]:
    """Make rows in any order, overlapping, empty, unaligned; none passes 2^64."""
    rows = []
    for _ in range(draw(st.integers(1, max_size))):
        addr = draw(st.integers(0, (1 << 52) - 1))
        size = draw(st.sampled_from([0, 1, PAGE_SIZE, 1 << 20, 1 << 40]))
        rows.append((addr, size, draw(e820_types())))
    return rows


@st.composite
def e820_tables(
    draw: st.DrawFn,
    *,
    min_size: int = 0,
    max_size: int = 12,
    wrapping: bool = True,
) -> E820Array:
    """Make raw tables as bad firmware may write them: arrays of ``E820_DTYPE``.

    Entries come in any order, meet and overlap, are empty, end within a page, have
    types that no kernel knows, and end at or beyond 2^64.

    Args:
        draw: passed by Hypothesis.
        min_size: entries at least.
        max_size: entries at most; above 128 for what a zero page cannot hold.
        wrapping: whether an entry may end at or beyond 2^64, for which Linux
            refuses the whole table.

    >>> from hypothesis import find
    >>> table = find(e820_tables(), lambda found: 0 in found["size"])
    >>> table.tolist()
    [(0, 0, 1)]
    """
    kinds = [_meeting(), _meeting(), _unaligned(), _anywhere()]
    entry = st.one_of(*kinds, *([_wrapping()] if wrapping else []))
    return table_of(draw(st.lists(entry, min_size=min_size, max_size=max_size)))


def _meeting() -> st.SearchStrategy[Row]:
    # Whole pages between few boundaries: neighbours, overlaps, empty entries.
    point = st.integers(0, _GRID).map(lambda page: page * PAGE_SIZE)
    return st.tuples(point, point, e820_types())


def _unaligned() -> st.SearchStrategy[Row]:
    byte = st.integers(0, _GRID * PAGE_SIZE)
    return st.tuples(byte, byte, e820_types() | st.integers(0, _U32_MAX))


def _anywhere() -> st.SearchStrategy[Row]:
    addr = st.integers(0, (1 << 52) - 1)
    return st.tuples(addr, st.integers(0, 1 << 40), e820_types())


@st.composite
def _wrapping(draw: st.DrawFn) -> Row:
    addr = draw(st.integers(1, _U64_LIMIT - 1))
    past = draw(st.integers(0, addr - 1))
    return addr, _U64_LIMIT - addr + past, draw(e820_types())
