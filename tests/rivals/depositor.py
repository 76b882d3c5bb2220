"""Deposit the way the hypervisor's driver does: in calls, by orders, one on retry.

hv_call_deposit_pages() and hv_call_create_vp(), arch/x86/hyperv/hv_proc.c, 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import CapacityError, E820PoolError, InputError
from e820pool.pool.claims import FREE_OWNER, RECORD_OWNER, validate_owner
from e820pool.pool.pool import Pool
from e820pool.stress.workload import HV_DEPOSIT_MAX, split_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.extents import ExtentSet

    Hypercall = Callable[[tuple[Deposit, ...]], bool]

__all__ = (
    "PageAllocator",
    "RetryOutcome",
    "deposit_call",
    "deposit_pages",
    "deposit_until",
    "withdraw_pages",
)


class PageAllocator(Protocol):
    """What a depositor needs of an allocator: a pool, a region, a kernel's zones."""

    def alloc(self, nr_pages: int, *, owner: int) -> int | None:
        """Return the first PFN of so many pages for ``owner``; None if none."""

    def release(self, base_pfn: int, nr_pages: int) -> bool:
        """Take pages back; False when they are not this allocator's."""


# Pages that are all allocated from here, by a pool's owners or a region's bitmap.
def is_held(allocator: PageAllocator, base_pfn: int, nr_pages: int) -> bool:
    if not isinstance(allocator, Pool):
        return allocator.is_held(base_pfn, nr_pages)
    own = (FREE_OWNER, RECORD_OWNER)
    held = [one for one in allocator.ledger() if one.owner not in own]
    return DepositLedger(held).extents.contains(base_pfn, base_pfn + nr_pages)


def deposit_call(
    allocator: PageAllocator,
    nr_pages: int,
    owner: int = 0,
    *,
    hypercall: Hypercall | None = None,
) -> tuple[Deposit, ...]:
    """Deposit exactly ``nr_pages`` in one call; return them in order of allocation.

    The largest order that the rest has room for is tried first, one order down
    each time it fails. A call for 0 pages does nothing.

    Args:
        allocator: where the pages are from.
        nr_pages: at most :data:`HV_DEPOSIT_MAX`.
        owner: the partition they are for.
        hypercall: whether the hypervisor takes them; None if it always does.

    Raises:
        InputError: ``nr_pages`` or ``owner`` is out of range.
        CapacityError: a single page cannot be had, or the hypervisor refuses.
            The pages are back in the allocator.
    """
    validate_owner(owner)
    if not 0 <= nr_pages <= HV_DEPOSIT_MAX:
        raise InputError(
            f"a call for {nr_pages:#x} pages: the limit is {HV_DEPOSIT_MAX:#x}"
        )
    taken: list[Deposit] = []
    rest = nr_pages
    try:
        while rest:
            taken.append(_largest_block(allocator, rest, owner))
            rest -= taken[-1].nr_pages
        _hand_over(tuple(taken), owner, hypercall)
    except E820PoolError:
        _give_back(allocator, taken)
        raise
    return tuple(taken)


def deposit_pages(
    allocator: PageAllocator,
    nr_pages: int,
    owner: int = 0,
    *,
    hypercall: Hypercall | None = None,
) -> tuple[Deposit, ...]:
    """Deposit any number of pages, in as many calls as that takes; all or nothing.

    Raises:
        InputError: ``nr_pages`` is negative.
        CapacityError: as :func:`deposit_call`; the pages of earlier calls are back
            in the allocator too, as after a withdrawal.
    """
    if nr_pages < 0:
        raise InputError(f"a deposit of {nr_pages} pages: the limit is 0")
    taken: list[Deposit] = []
    try:
        for count in split_calls(nr_pages):
            taken += deposit_call(allocator, count, owner, hypercall=hypercall)
    except E820PoolError:
        _give_back(allocator, taken)
        raise
    return tuple(taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOutcome:
    """Say how a hypercall that wants memory ended.

    Attributes:
        done: False when no page was left before the hypercall succeeded.
        deposits: what was deposited on the way; it stays deposited either way.
    """

    done: bool
    deposits: tuple[Deposit, ...]


def deposit_until(
    allocator: PageAllocator,
    attempt: Callable[[], bool],
    owner: int = 0,
    *,
    first_pages: int = 0,
) -> RetryOutcome:
    """Repeat ``attempt``, with one more page deposited each time it wants memory.

    Args:
        allocator: where the pages are from.
        attempt: False when the hypervisor has insufficient memory.
        owner: the partition the pages are for.
        first_pages: deposited before the first attempt, for example
            :data:`PAGES_BEFORE_VP`; when they cannot be had nothing is attempted.

    Raises:
        InputError: ``first_pages`` is out of range for one call.
    """
    deposits: list[Deposit] = []
    try:
        deposits += deposit_call(allocator, first_pages, owner)
        while not attempt():
            deposits += deposit_call(allocator, 1, owner)
    except CapacityError:
        return RetryOutcome(done=False, deposits=tuple(deposits))
    return RetryOutcome(done=True, deposits=tuple(deposits))


def withdraw_pages(allocator: PageAllocator, extents: ExtentSet) -> int:
    """Give pages that the hypervisor handed back to their allocator, one by one.

    Returns:
        The number of pages.

    Raises:
        InputError: one of them is not allocated from here; nothing was given back.
    """
    for start_pfn, end_pfn in extents:
        if not is_held(allocator, start_pfn, end_pfn - start_pfn):
            raise InputError(
                f"PFNs [{start_pfn:#x}, {end_pfn:#x}) are not all in use here: "
                "nothing to give back"
            )
    for start_pfn, end_pfn in extents:
        for pfn in range(start_pfn, end_pfn):
            allocator.release(pfn, 1)
    return extents.nr_pages


def _largest_block(allocator: PageAllocator, nr_pages: int, owner: int) -> Deposit:
    for order in reversed(range(nr_pages.bit_length())):
        base_pfn = allocator.alloc(1 << order, owner=owner)
        if base_pfn is not None:
            return Deposit(
                start_pfn=base_pfn, end_pfn=base_pfn + (1 << order), owner=owner
            )
    raise CapacityError(
        f"no page is left: {nr_pages:#x} more are wanted, the limit is 0"
    )


def _hand_over(
    taken: tuple[Deposit, ...], owner: int, hypercall: Hypercall | None
) -> None:
    if taken and hypercall is not None and not hypercall(taken):
        nr_pages = sum(one.nr_pages for one in taken)
        raise CapacityError(
            f"the hypervisor refuses {nr_pages:#x} pages for owner {owner:#x}"
        )


def _give_back(allocator: PageAllocator, taken: list[Deposit]) -> None:
    for one in taken:
        allocator.release(one.start_pfn, one.nr_pages)
