"""A pool of any number of extents: allocate from it, grow it, shrink it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ExtentSet
from e820pool.pool.claims import FREE_OWNER, RECORD_OWNER, validate_owner
from e820pool.pool.owned_runs import OwnedRuns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.pool.option import PmpoolOption

__all__ = ("Pool", "region_ledger")


def region_ledger(option: PmpoolOption, nr_record_pages: int = 1) -> DepositLedger:
    """Return the ledger of a new pool in one region, its record in the first pages.

    Raises:
        InputError: the record's pages do not fit the region.
    """
    if not 0 < nr_record_pages <= option.nr_pages:
        raise InputError(
            f"{nr_record_pages:#x} pages for the record of {option}: the limits are 1 "
            f"and {option.nr_pages:#x}"
        )
    first, end = option.base_pfn, option.base_pfn + option.nr_pages
    split = first + nr_record_pages
    runs = [Deposit(start_pfn=first, end_pfn=split, owner=RECORD_OWNER)]
    if split < end:
        runs.append(Deposit(start_pfn=split, end_pfn=end, owner=FREE_OWNER))
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

    __slots__ = ("_runs",)

    def __init__(self, ledger: DepositLedger | None = None) -> None:
        self._runs = OwnedRuns(ledger or ())

    def ledger(self) -> DepositLedger:
        """Return all that the pool holds, with owners: the next handoff's ledger."""
        return DepositLedger(self._runs)

    @property
    def extents(self) -> ExtentSet:
        """Return all pages of the pool."""
        return ExtentSet((run.start_pfn, run.end_pfn) for run in self._runs)

    @property
    def free(self) -> ExtentSet:
        """Return the pages that the pool holds and nobody uses."""
        return ExtentSet(self._free_runs())

    @property
    def used(self) -> ExtentSet:
        """Return the pages that are in some owner's hands."""
        return self.extents - self.free

    def copy(self) -> Pool:
        """Return an independent pool in the same state."""
        pool = Pool()
        pool._runs = OwnedRuns(self._runs)
        return pool

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pool):
            return NotImplemented
        return list(self._runs) == list(other._runs)

    # Mutable, so it cannot be a dictionary's key.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        used, free = self.used.nr_pages, self.free.nr_pages
        return f"Pool({len(self._runs)} runs, {used} pages used, {free} free)"

    def owner_of(self, pfn: int) -> int | None:
        """Return who has a page: ``FREE_OWNER`` nobody, None not of the pool."""
        inside = self._runs.within(pfn, pfn + 1)
        return inside[0].owner if inside else None

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
        mask = (1 << align_order) - 1
        for start_pfn, end_pfn in self._free_runs():
            first = (start_pfn + mask) & ~mask
            if first + nr_pages <= end_pfn:
                self._runs.assign(first, first + nr_pages, owner)
                return first
        return None

    def alloc_order(self, order: int, owner: int = 0) -> int | None:
        """Return ``2^order`` pages, not aligned: as the proposal's depositor asks."""
        return self.alloc(1 << order, owner=owner)

    def release(self, base_pfn: int, nr_pages: int) -> bool:
        """Take pages back from their owners; False when not all are the pool's.

        Raises:
            InputError: a page is free already, or holds the pool's record.
        """
        end_pfn = base_pfn + nr_pages
        if not self._runs.covers(base_pfn, end_pfn):
            return False
        for run in self._runs.within(base_pfn, end_pfn):
            if run.owner == FREE_OWNER:
                raise InputError(f"{_pages(run)} are free already: nothing to release")
            if run.owner == RECORD_OWNER:
                raise InputError(f"{_pages(run)} hold the pool's record: not released")
        self._runs.assign(base_pfn, end_pfn, FREE_OWNER)
        return True

    def is_held(self, base_pfn: int, nr_pages: int) -> bool:
        """Return whether these pages are all the pool's and in an owner's hands."""
        end_pfn = base_pfn + nr_pages
        inside = self._runs.within(base_pfn, end_pfn)
        return self._runs.covers(base_pfn, end_pfn) and all(
            run.owner not in (FREE_OWNER, RECORD_OWNER) for run in inside
        )

    def deposit(self, deposits: Iterable[Deposit]) -> None:
        """Bring pages in: free where the owner is ``FREE_OWNER``, else used.

        Raises:
            InputError: a page is in the pool already, or named twice.
        """
        more = DepositLedger(deposits)
        for deposit in more:
            for run in self._runs.overlapping(deposit.start_pfn, deposit.end_pfn)[:1]:
                raise InputError(f"{deposit} overlaps the pool: {run}")
        self._runs = OwnedRuns([*self._runs, *more])

    def withdraw(self, extents: ExtentSet) -> tuple[Deposit, ...]:
        """Let free pages go; return them with the types that they go back to.

        Raises:
            InputError: a page is in an owner's hands, or not the pool's.
        """
        leaving: list[Deposit] = []
        for start_pfn, end_pfn in extents:
            inside = self._runs.within(start_pfn, end_pfn)
            if not self._runs.covers(start_pfn, end_pfn):
                raise InputError(
                    f"PFNs [{start_pfn:#x}, {end_pfn:#x}) are not all in the pool: "
                    "nothing to withdraw"
                )
            leaving += inside
        for run in leaving:
            if run.owner != FREE_OWNER:
                raise InputError(
                    f"{_pages(run)} are used by owner {run.owner:#x}: release them "
                    "before they are withdrawn"
                )
        for run in leaving:
            self._runs.remove(run.start_pfn, run.end_pfn)
        return tuple(leaving)

    def _free_runs(self) -> Iterator[tuple[int, int]]:
        # Free runs that touch are one, whatever their pages were to the firmware.
        start = end = 0
        for run in self._runs:
            if run.owner != FREE_OWNER:
                continue
            if run.start_pfn != end:
                if start < end:
                    yield start, end
                start = run.start_pfn
            end = run.end_pfn
        if start < end:
            yield start, end


def _pages(run: Deposit) -> str:
    return f"PFNs [{run.start_pfn:#x}, {run.end_pfn:#x})"
