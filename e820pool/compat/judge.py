"""judge(handoff, profile) and judge_boot(record, profile): where verdicts are made.

Whatever goes into a verdict is joined here and nowhere else: what the kernel reads of
the handoff, the place at which it is unpacked (or is assumed to be), the release with
its configuration, the findings, and what is assumed or not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from e820pool.compat.assumptions import assumptions_that_decide
from e820pool.compat.check import check_input
from e820pool.compat.diff import Difference, diff
from e820pool.compat.shared import SharedChecks
from e820pool.compat.verdict import (
    Engines,
    JudgedOn,
    Verdict,
    WindowFrom,
    judged_on_of,
    profile_notes,
    verdict_of,
    window_notes,
)
from e820pool.extents import ByteRangeSet, Span
from e820pool.findings import Finding
from e820pool.handoff.placement import assumed_window
from e820pool.kernel.boot_input import boot_input
from e820pool.kernel.early_boot import predict_input

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.extents import ExtentSet
    from e820pool.handoff.model import Handoff
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = (
    "BootedHandoff",
    "Judgement",
    "judge",
    "judge_boot",
    "judge_each",
    "judge_input",
    "judge_machine",
    "model_of_boot",
)


class BootedHandoff(Protocol):
    """A boot: the handoff as the kernel got it, and what the kernel made of it."""

    @property
    def handoff(self) -> Handoff:
        """Return the handoff with header, initrd and command line of this boot."""

    @property
    def view(self) -> KernelView:
        """Return the real kernel's view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdicts of model and machine on one boot.

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


def judge(handoff: Handoff, profile: Profile, *, kernel: str = "") -> Verdict:
    """Return the model's verdict for one kernel.

    Where the handoff is bound to an image, its window counts; without one a place is
    assumed, and findings that rest on it are marked by the note ``window-assumed``.

    Args:
        handoff: what the kernel is given, with the deposits that must stay untouched.
        profile: how the kernel reads, with its configuration.
        kernel: what the verdict calls it; "" for the profile's release.

    Example:
        >>> from e820pool.deposits import DepositLedger, parse_range
        >>> from e820pool.handoff.build import build_handoff
        >>> from e820pool.kernel.profiles import profile_for
        >>> from e820pool.memory_map import MemoryMap
        >>> machine = MemoryMap.of([(0x0, 0x9F000, 1), (0x10_0000, 0x7FF0_0000, 1)])
        >>> ledger = DepositLedger.of_ranges([parse_range("1G+2M")])
        >>> judge(build_handoff(machine, ledger), profile_for("6.1")).verdict
        'safe'
    """
    (verdict,) = judge_each(handoff, (profile,))
    return replace(verdict, kernel=kernel) if kernel else verdict


def judge_each(handoff: Handoff, profiles: Iterable[Profile]) -> Iterator[Verdict]:
    """Yield the verdict for each kernel; the handoff is read once."""
    question = _question(handoff.ledger.extents, boot_input(handoff), handoff.notes)
    for profile in profiles:
        yield _answer(question, profile)


def judge_input(
    deposits: ExtentSet,
    inp: BootInput,
    profile: Profile,
    notes: Iterable[Finding] = (),
) -> Verdict:
    """Return the verdict where what the kernel reads is at hand, and no handoff.

    Args:
        deposits: the pages that must stay untouched.
        inp: what the kernel reads; its place is assumed where neither its load
            window nor its range is known.
        profile: how the kernel reads, with its configuration.
        notes: what else is to be among the findings.
    """
    return _answer(_question(deposits, inp, notes), profile)


def judge_boot(record: BootedHandoff, profile: Profile) -> Judgement:
    """Return what model and machine say of a boot.

    A difference between them is a finding of its own, ``degraded``.

    Args:
        record: the boot.
        profile: of the kernel that was booted, with its configuration.
    """
    handoff, machine = record.handoff, record.view
    question = _question(handoff.ledger.extents, boot_input(handoff), handoff.notes)
    model = model_of_boot(question.inp, profile, machine)
    by_model = _answer(question, profile, model)
    judged_on = _judged_on(question, profile, (), "model and machine")
    by_machine = judge_machine(record, profile)
    differences = diff(model, machine)
    differing = [
        Finding(
            id="model-differs",
            level="degraded",
            message=f"{difference.field}: the model says {difference.model}, the "
            f"kernel {difference.machine}",
        )
        for difference in differences
    ]
    findings = dict.fromkeys((*by_machine.findings, *by_model.findings))
    return Judgement(
        verdict=verdict_of(machine.kernel, (*findings, *differing), machine, judged_on),
        model=by_model,
        machine=by_machine,
        differences=differences,
    )


def judge_machine(record: BootedHandoff, profile: Profile) -> Verdict:
    """Return the verdict on what a real kernel made of its boot, without a model.

    Args:
        record: the boot.
        profile: of the kernel that was booted, if only by its release.
    """
    question = _question(record.handoff.ledger.extents, boot_input(record.handoff), ())
    verdict = check_input(question.deposits, question.inp, profile, record.view)
    return replace(verdict, judged_on=_judged_on(question, profile, (), "machine"))


def model_of_boot(inp: BootInput, profile: Profile, machine: KernelView) -> KernelView:
    """Return the model's counterpart of what a real kernel made of its input.

    At which of its slots KASLR put the kernel only the machine can say: the model is
    asked what follows from that.
    """
    if machine.kernel_range is not None:
        inp = replace(inp, kernel_range=machine.kernel_range)
    return replace(predict_input(inp, profile), kernel=machine.kernel)


# What is judged, whatever kernel it is for. ``window`` is set where it is assumed.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Question:
    deposits: ExtentSet
    inp: BootInput
    notes: tuple[Finding, ...]
    window: Span | None
    checks: SharedChecks


def _question(
    deposits: ExtentSet, inp: BootInput, notes: Iterable[Finding]
) -> _Question:
    window = None
    if inp.load_window is None and inp.kernel_range is None:
        window = _window_for(inp, deposits)
        inp = replace(inp, load_window=window)
    return _Question(
        deposits=deposits,
        inp=inp,
        notes=tuple(notes),
        window=window,
        checks=SharedChecks(deposits, inp),
    )


def _window_for(inp: BootInput, deposits: ExtentSet) -> Span | None:
    limit = ByteRangeSet.LIMIT
    parts = [inp.boot_params_range, inp.cmdline_range, inp.initrd]
    parts += [node.span for node in inp.setup_data or ()]
    in_use = ByteRangeSet(part.below(limit) for part in parts if part)
    return assumed_window(inp.whole_table(), deposits.to_bytes() | in_use)


def _answer(
    question: _Question, profile: Profile, view: KernelView | None = None
) -> Verdict:
    bare = (
        question.checks.verdict(profile)
        if view is None
        else check_input(question.deposits, question.inp, profile, view)
    )
    more = (*question.notes, *profile_notes(profile))
    if question.window is not None:
        more += window_notes(bare.findings, question.window)
    # Of a real kernel nothing is assumed but what the model makes of it.
    decides = dict(
        assumptions_that_decide(question.checks, question.inp, profile, bare)
        if view is None
        else ()
    )
    findings = (*bare.findings, *more, *decides.values())
    judged_on = _judged_on(question, profile, tuple(decides), "model")
    return verdict_of(bare.kernel, findings, bare.view, judged_on)


def _judged_on(
    question: _Question, profile: Profile, assumed: tuple[str, ...], by: Engines
) -> JudgedOn:
    window: WindowFrom = "given" if question.inp.load_window else "unknown"
    if question.window is not None:
        window = "assumed"
    has_devices = question.inp.memory_devices is not None
    return judged_on_of(
        profile,
        assumed=assumed,
        kernel_window=window,
        memory_devices="known" if has_devices else "unknown",
        by=by,
    )
