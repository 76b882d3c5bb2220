"""A pool of any number of extents: allocate from it, grow it, shrink it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ExtentSet
from e820pool.pool.claims import FREE_OWNER, RECORD_OWNER, validate_owner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.pool.option import PmpoolOption

__all__ = ("Pool", "region_ledger")


def region_ledger(option: PmpoolOption) -> DepositLedger:
    """Return the ledger of a new pool in one region, its record in the first page."""
    first, end = option.base_pfn, option.base_pfn + option.nr_pages
    runs = [Deposit(start_pfn=first, end_pfn=first + 1, owner=RECORD_OWNER)]
    if first + 1 < end:
        runs.append(Deposit(start_pfn=first + 1, end_pfn=end, owner=FREE_OWNER))
    return DepositLedger(runs)


# cma_alloc() shifts an unsigned long by the order: above 63 C leaves it open.
_MAX_ALIGN_ORDER = 63


def validate_align_order(align_order: int) -> None:
    """Raise InputError for an order that an unsigned long cannot be shifted by."""
    if not 0 <= align_order <= _MAX_ALIGN_ORDER:
        raise InputError(
            f"alignment order {align_order}: the limits are 0 and {_MAX_ALIGN_ORDER}"
        )


class Pool:
    """Extents that survive a kexec; each page is free or an owner's.

    ``deposit`` brings pages in, ``alloc`` and ``release`` pass them on and take them
    back, ``withdraw`` lets free ones go. All that the pool holds, free pages too,
    is in its :meth:`ledger`, and so RESERVED to the next kernel. Every method leaves
    the pool unchanged when it raises or says that it did nothing.

    Example:
        >>> from e820pool.deposits import Deposit
        >>> from e820pool.pool.claims import FREE_OWNER
        >>> pool = Pool()
        >>> pool.deposit([Deposit(start_pfn=0x1000, end_pfn=0x1200, owner=FREE_OWNER)])
        >>> hex(pool.alloc(16, owner=7)), pool.release(0x1000, 8)
        ('0x1000', True)
        >>> pool.ledger().extents
        ExtentSet([0x1000, 0x1200))
    """

    __slots__ = ("_ledger",)

    def __init__(self, ledger: DepositLedger | None = None) -> None:
        self._ledger = DepositLedger() if ledger is None else ledger

    def ledger(self) -> DepositLedger:
        """Return all that the pool holds, with owners: the next handoff's ledger."""
        return self._ledger

    @property
    def extents(self) -> ExtentSet:
        """Return all pages of the pool."""
        return self._ledger.extents

    @property
    def free(self) -> ExtentSet:
        """Return the pages that the pool holds and nobody uses."""
        rows = self._ledger.rows
        rows = rows[rows["owner"] == FREE_OWNER]
        return ExtentSet.from_bounds(rows["start"], rows["end"])

    @property
    def used(self) -> ExtentSet:
        """Return the pages that are in some owner's hands."""
        return self.extents - self.free

    def copy(self) -> Pool:
        """Return an independent pool in the same state."""
        return Pool(self._ledger)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pool):
            return NotImplemented
        return self._ledger == other._ledger

    # Mutable, so it cannot be a dictionary's key.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        used, free = self.used.nr_pages, self.free.nr_pages
        return f"Pool({len(self._ledger)} runs, {used} pages used, {free} free)"

    def alloc(
        self, nr_pages: int, align_order: int = 0, *, owner: int = 0
    ) -> int | None:
        """Return the first PFN of ``nr_pages`` given to ``owner``, None if none fit.

        The lowest fit in address order of which the PFN is a multiple of
        ``2^align_order``, as cma_alloc() does it in one region; here it never
        crosses a hole between extents.

        Raises:
            InputError: the order or the owner is out of range.
        """
        validate_align_order(align_order)
        validate_owner(owner)
        if nr_pages <= 0:
            return None
        mask = np.uint64((1 << align_order) - 1)
        free = self.free
        firsts = (free.starts + mask) & ~mask
        fitting = firsts[firsts + np.uint64(nr_pages) <= free.ends]
        if not fitting.size:
            return None
        first = int(fitting[0])
        self._assign(first, first + nr_pages, owner)
        return first

    def release(self, base_pfn: int, nr_pages: int) -> bool:
        """Take pages back from their owners; False when not all are the pool's.

        Raises:
            InputError: a page is free already, or holds the pool's record.
        """
        end_pfn = base_pfn + nr_pages
        # A call for no pages is about the first one all the same.
        last = max(end_pfn, base_pfn + 1)
        if min(base_pfn, nr_pages) < 0 or not self.extents.contains(base_pfn, last):
            return False
        for run in self._within(base_pfn, end_pfn):
            if run.owner == FREE_OWNER:
                raise InputError(f"{_pages(run)} are free already: nothing to release")
            if run.owner == RECORD_OWNER:
                raise InputError(f"{_pages(run)} hold the pool's record: not released")
        self._assign(base_pfn, end_pfn, FREE_OWNER)
        return True

    def deposit(self, deposits: Iterable[Deposit]) -> None:
        """Bring pages in: free where the owner is ``FREE_OWNER``, else used.

        Raises:
            InputError: a page is in the pool already, or named twice.
        """
        more = DepositLedger(deposits)
        for start_pfn, _ in more.extents & self.extents:
            deposit, run = (
                next(d for d in ledger if d.end_pfn > start_pfn)
                for ledger in (more, self._ledger)
            )
            raise InputError(f"{deposit} overlaps the pool: {run}")
        self._ledger = self._ledger.deposit(more)

    def withdraw(self, extents: ExtentSet) -> tuple[Deposit, ...]:
        """Let free pages go; return them with the types that they go back to.

        Raises:
            InputError: a page is in an owner's hands, or not the pool's.
        """
        leaving: list[Deposit] = []
        for start_pfn, end_pfn in extents:
            if not self.extents.contains(start_pfn, end_pfn):
                raise InputError(
                    f"PFNs [{start_pfn:#x}, {end_pfn:#x}) are not all in the pool: "
                    "nothing to withdraw"
                )
            leaving += self._within(start_pfn, end_pfn)
        for run in leaving:
            if run.owner != FREE_OWNER:
                raise InputError(
                    f"{_pages(run)} are used by owner {run.owner:#x}: release them "
                    "before they are withdrawn"
                )
        self._ledger = self._ledger.withdraw(extents)
        return tuple(leaving)

    def _within(self, start_pfn: int, end_pfn: int) -> DepositLedger:
        # What lies in the range, cut to it.
        start, end = np.uint64(start_pfn), np.uint64(end_pfn)
        rows = self._ledger.rows
        rows = rows[(rows["end"] > start) & (rows["start"] < end)]
        rows["start"] = np.maximum(rows["start"], start)
        rows["end"] = np.minimum(rows["end"], end)
        return DepositLedger.of_rows(rows[rows["start"] < rows["end"]])

    def _assign(self, start_pfn: int, end_pfn: int, owner: int) -> None:
        # What the pages were to the firmware stays.
        start, end = np.uint64(start_pfn), np.uint64(end_pfn)
        inside = self._within(start_pfn, end_pfn).rows.copy()
        inside["owner"] = owner
        rows = self._ledger.rows
        below, above = rows[rows["start"] < start], rows[rows["end"] > end]
        below["end"] = np.minimum(below["end"], start)
        above["start"] = np.maximum(above["start"], end)
        self._ledger = DepositLedger.of_rows(np.concatenate((below, inside, above)))


def _pages(run: Deposit) -> str:
    return f"PFNs [{run.start_pfn:#x}, {run.end_pfn:#x})"
