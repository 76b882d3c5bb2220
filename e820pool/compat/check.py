"""check_input(deposits, inp, profile): every way in which a page can be touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.compat.boot_ends import findings_of_boot_ends
from e820pool.compat.capture_kernel import findings_of_capture
from e820pool.compat.every_kernel import findings_of_every_kernel
from e820pool.compat.hot_added import findings_of_hot_add
from e820pool.compat.kaslr_rules import findings_of_kaslr_rules
from e820pool.compat.losses import findings_of_losses
from e820pool.compat.next_kexec import findings_of_next_kexec
from e820pool.compat.pci_gap import findings_of_pci_gap
from e820pool.compat.record import findings_of_record
from e820pool.compat.situation import situation_of
from e820pool.compat.touch import findings_of_touch
from e820pool.compat.verdict import Verdict, verdict_of
from e820pool.findings import Finding
from e820pool.kernel.early_boot import predict_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e820pool.compat.situation import Situation
    from e820pool.extents import ExtentSet
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = ("GROUPS", "check_input")


def _of_engine(case: Situation) -> Iterator[Finding]:
    yield from case.view.findings
    if not case.deposits:
        message = "the handoff names no deposit: there is nothing to leave alone"
        yield Finding(id="no-deposits", level="note", message=message)


GROUPS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (
    _of_engine,
    findings_of_touch,
    findings_of_hot_add,
    findings_of_kaslr_rules,
    findings_of_pci_gap,
    findings_of_every_kernel,
    findings_of_losses,
    findings_of_boot_ends,
    findings_of_record,
    findings_of_next_kexec,
    findings_of_capture,
)
"""In the order in which findings of one level are listed."""


def check_input(
    deposits: ExtentSet,
    inp: BootInput,
    profile: Profile,
    view: KernelView | None = None,
) -> Verdict:
    """Return the findings about one kernel's view of its input, summed up.

    The input is taken as it is: :func:`e820pool.compat.judge.judge_input` asks with a
    place for the kernel, and says what is assumed.

    Args:
        deposits: the pages that must stay untouched.
        inp: what the kernel reads.
        profile: how it reads, with its configuration.
        view: what the kernel made of the input; without it the model is asked.
    """
    view = predict_input(inp, profile) if view is None else view
    case = situation_of(deposits, view, inp, profile)
    findings = [finding for group in GROUPS for finding in group(case)]
    return verdict_of(view.kernel, findings, view)
