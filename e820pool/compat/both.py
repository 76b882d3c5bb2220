"""Model and machine side by side: two verdicts, and where the views differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.compat.check import check
from e820pool.compat.diff import Difference, diff
from e820pool.compat.verdict import Verdict, verdict_of
from e820pool.findings import Finding

if TYPE_CHECKING:
    from e820pool.deposits import DepositLedger
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = ("Judgement", "judge_both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Hold what model and machine say of one kernel.

    Attributes:
        verdict: decided by the findings of both; one boot shows one KASLR slot, the
            model all of them.
        model, machine: each side's own verdict.
        differences: empty, or the model has a bug.
    """

    verdict: Verdict
    model: Verdict
    machine: Verdict
    differences: tuple[Difference, ...]


def judge_both(
    ledger: DepositLedger,
    model: KernelView,
    machine: KernelView,
    given: BootInput,
    profile: Profile | None = None,
) -> Judgement:
    """Return the judgement; a difference is a finding of its own, ``degraded``.

    Args:
        ledger: the deposits that must stay untouched.
        model: the modelled kernel's reading.
        machine: the real one's.
        given: what the handoff says.
        profile: of the kernel that was booted, with its configuration.
    """
    modelled = check(ledger, model, given, profile)
    seen = check(ledger, machine, given, profile)
    differences = diff(model, machine)
    findings = dict.fromkeys((*seen.findings, *modelled.findings))
    told = [
        Finding(
            id="model-differs",
            level="degraded",
            message=f"{one.field}: the model says {one.one}, the kernel {one.other}",
        )
        for one in differences
    ]
    return Judgement(
        verdict=verdict_of(machine.kernel, (*findings, *told)),
        model=modelled,
        machine=seen,
        differences=differences,
    )
