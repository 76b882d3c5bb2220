"""The next handoff's ledger: what this kernel inherited, and what changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.deposits import DepositLedger
from e820pool.errors import InputError
from e820pool.extents import PAGE_SHIFT, Span

if TYPE_CHECKING:
    from e820pool.sources.deposits_file import DepositChanges

__all__ = ("merged_ledger",)


def merged_ledger(inherited: DepositLedger, changes: DepositChanges) -> DepositLedger:
    """Return the ledger of all that is deposited now.

    A page that is named again has its new owner; one that is withdrawn leaves, and
    goes back to its firmware type in the table that is made from the result.

    Raises:
        InputError: a page is said to be deposited and withdrawn at once, two deposits
            overlap, or a page is withdrawn that nobody deposited.
    """
    fresh = DepositLedger(changes.deposits)
    for start, end in fresh.extents & changes.withdrawn:
        pages = Span(start << PAGE_SHIFT, end << PAGE_SHIFT)
        raise InputError(
            f"{pages} is said to be deposited and withdrawn: name it in one list"
        )
    kept = inherited.withdraw(changes.withdrawn)
    return kept.withdraw(kept.extents & fresh.extents).deposit(fresh)
