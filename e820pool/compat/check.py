"""check(ledger, view): every way in which a deposited page can be touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.compat.boot_ends import findings_of_boot_ends
from e820pool.compat.given import findings_of_given
from e820pool.compat.kaslr_rules import findings_of_kaslr_rules
from e820pool.compat.losses import findings_of_losses
from e820pool.compat.next_kexec import findings_of_next_kexec
from e820pool.compat.pci_gap import findings_of_pci_gap
from e820pool.compat.record import findings_of_record
from e820pool.compat.situation import situation_of
from e820pool.compat.touch import findings_of_touch
from e820pool.compat.verdict import Verdict, verdict_of
from e820pool.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e820pool.compat.situation import Situation
    from e820pool.deposits import DepositLedger
    from e820pool.extents import ExtentSet
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = ("check", "check_pages")


def _of_engine(case: Situation) -> Iterator[Finding]:
    yield from case.view.findings
    if not case.deposits:
        message = "the handoff names no deposit: there is nothing to leave alone"
        yield Finding(id="no-deposits", level="note", message=message)


# In the order in which findings of one level are told.
_GROUPS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (
    _of_engine,
    findings_of_touch,
    findings_of_kaslr_rules,
    findings_of_pci_gap,
    findings_of_given,
    findings_of_losses,
    findings_of_boot_ends,
    findings_of_record,
    findings_of_next_kexec,
)


def check(
    ledger: DepositLedger,
    view: KernelView,
    given: BootInput | None = None,
    profile: Profile | None = None,
) -> Verdict:
    """Return the verdict on one kernel's view.

    Args:
        ledger: the deposits that must stay untouched.
        view: what the kernel, modelled or real, made of the handoff.
        given: what the handoff says, for findings about the handoff itself
            (``not-monotone``, ``ram-lost``); left out when it is not at hand.
        profile: how that kernel reads, with its configuration; without it the
            profile of the view's release, if there is one.

    Example:
        A page that is RAM in the kernel's memory is allocated sooner or later.

        >>> from e820pool.deposits import DepositLedger, parse_range
        >>> from e820pool.kernel.view import KernelView
        >>> ledger = DepositLedger.of_ranges([parse_range("1G+2M")])
        >>> view = KernelView(kernel="6.1", memory=((0x10_0000, 0x7FF0_0000),))
        >>> verdict = check(ledger, view)
        >>> verdict.verdict, verdict.findings[0].id
        ('unsafe', 'usable-as-ram')
    """
    return check_pages(ledger.extents, view, given, profile)


def check_pages(
    deposits: ExtentSet,
    view: KernelView,
    given: BootInput | None = None,
    profile: Profile | None = None,
) -> Verdict:
    """Return the same for deposited pages of which no owner is known."""
    case = situation_of(deposits, view, given, profile)
    found = [finding for group in _GROUPS for finding in group(case)]
    return verdict_of(view.kernel, found)
