"""Strategies for deposited pages: sets of extents, ledgers, and a machine with both."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from hypothesis import strategies as st

from e820pool.deposits import Deposit, DepositLedger
from e820pool.extents import ExtentSet
from e820pool.strategies.maps import machines

if TYPE_CHECKING:
    from e820pool.memory_map import MemoryMap
    from e820pool.strategies.tables import Row

__all__ = ("deposit_ledgers", "deposited_machines", "extents")

Pages: TypeAlias = list[tuple[int, int, int]]

# PFNs below 1 MiB: a kernel uses those whatever a map says, so none is deposited.
_LOW_PFNS = 0x100
_MAX_OWNERS = 3


@st.composite
def extents(
    draw: st.DrawFn,
    *,
    within: ExtentSet | None = None,
    max_size: int = 12,
) -> ExtentSet:
    """Make sets of pages: a few runs, touching or far apart.

    Args:
        draw: passed by Hypothesis.
        within: the pages of which all sets are part, by default those below 2^40
            bytes.
        max_size: runs at most.

    >>> from hypothesis import find
    >>> list(find(extents(), lambda pages: pages.nr_pages >= 2))
    [Span(0x0, 0x2)]
    """
    room = list(ExtentSet([(0, 1 << 28)]) if within is None else within)
    runs = []
    for _ in range(draw(st.integers(0, max_size)) if room else 0):
        low, high = draw(st.sampled_from(room))
        start = draw(st.integers(low, high - 1))
        runs.append((start, draw(st.integers(start + 1, high))))
    return ExtentSet(runs)


@st.composite
def deposit_ledgers(
    draw: st.DrawFn,
    memory_map: MemoryMap | None = None,
    *,
    max_size: int = 12,
    comb: bool = True,
) -> DepositLedger:
    """Make ledgers of up to three owners, all in the RAM of a map above 1 MiB.

    Args:
        draw: passed by Hypothesis.
        memory_map: where the deposits lie, by default one of ``machines()``.
        max_size: deposits of one to three pages at most, the comb not counted.
        comb: whether one ledger of three also has 60 to 200 single pages at a
            regular distance: more entries than a zero page holds.

    >>> from hypothesis import find
    >>> [str(one) for one in find(deposit_ledgers(), lambda ledger: len(ledger) == 1)]
    ['[mem 0x100000-0x100fff] of owner 0x0']
    """
    where = draw(machines()) if memory_map is None else memory_map
    room = where.ram_pages() - ExtentSet([(0, _LOW_PFNS)])
    pages = draw(_pages(room, max_size=max_size, comb=comb))
    return DepositLedger(
        Deposit(start_pfn=pfn, end_pfn=pfn + nr_pages, owner=owner)
        for pfn, nr_pages, owner in pages
    )


@st.composite
def deposited_machines(
    draw: st.DrawFn, *, max_size: int = 6, deposits: int = 12
) -> tuple[list[Row], Pages]:
    """Make ``(rows, deposits)``: a firmware map, and whole pages of its RAM.

    The plain numbers of ``machines()`` and ``deposit_ledgers()``, for code that
    builds its own values. Deposits are ``(pfn, nr_pages, owner)``, each one page.
    """
    machine = draw(machines(max_size=max_size))
    room = machine.ram_pages() - ExtentSet([(0, _LOW_PFNS)])
    pages = draw(_pages(room, max_size=deposits, comb=True))
    return machine.rows(), pages


@st.composite
def _pages(draw: st.DrawFn, room: ExtentSet, *, max_size: int, comb: bool) -> Pages:
    runs, taken = list(room), set[int]()
    for _ in range(draw(st.integers(0, max_size)) if runs else 0):
        low, high = draw(st.sampled_from(runs))
        at = draw(st.integers(low, high - 1))
        taken |= set(range(at, min(high, at + draw(st.integers(1, 3)))))
    if comb and runs and draw(st.integers(0, 2)) == 2:
        taken |= set(draw(_comb(runs[0])))
    owners = draw(st.integers(1, _MAX_OWNERS))
    return [(pfn, 1, pfn % owners) for pfn in sorted(taken)]


# Single pages in the upper part of a run, which leaves room for what is placed low.
@st.composite
def _comb(draw: st.DrawFn, run: tuple[int, int]) -> range:
    low, high = run
    base, step = low + (high - low) // 4, draw(st.integers(2, 16))
    return range(base, min(high, base + draw(st.integers(60, 200)) * step), step)
