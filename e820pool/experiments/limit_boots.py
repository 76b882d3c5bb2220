"""Real kernels around a limit held against the model, and shapes that they may fail.

A limit is booted just below, at and just above; a shape is drawn, booted, made small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from e820pool.compat import judge_boot
from e820pool.errors import E820PoolError, LabError
from e820pool.lab.chain import run_chain
from e820pool.lab.chain_model import ChainOptions
from e820pool.loading.kernel_file import KernelFile, profile_of
from e820pool.stress.confirm import (
    ConfirmCase,
    ObservableLimit,
    cases_for,
    loss_ids,
    losses_of,
)
from e820pool.stress.draws import Draws
from e820pool.stress.limit_handoffs import CRASH_MACHINE
from e820pool.stress.search import draw_shape, extents_of, handoff_of, minimise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from e820pool.handoff.model import Handoff
    from e820pool.lab.boot import BootOptions, BootOutcome
    from e820pool.stress.search import Extents

__all__ = ("PlannedBoot", "judge_boots", "plan_boots", "search_shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBoot:
    """A boot near a limit, or a crash; or why there is none.

    Attributes:
        case: the handoff and what is expected of it, None where it cannot be made.
        row: what is known of it before it is booted, as plain values.
    """

    kernel: KernelFile
    case: ConfirmCase | None
    row: dict[str, Any]

    @property
    def is_booted(self) -> bool:
        """Return whether its handoff is booted by itself: no crash, no error."""
        return self.case is not None and not self.case.limit.crashes

    @property
    def folder(self) -> str:
        """Return a name for what is kept of the boot."""
        kernel = str(self.row["kernel"]).replace("/", "-").strip("-")
        return f"{kernel}-{self.row['limit']}-{self.row['where']}"


def plan_boots(
    kernel: KernelFile, limit: str, bind: Callable[[Handoff], Handoff]
) -> Iterator[PlannedBoot]:
    """Yield the boots around one limit, or one that says why there are none.

    Args:
        kernel: what is to be booted.
        limit: a name of :data:`e820pool.stress.confirm.OBSERVABLE`.
        bind: completes a handoff as the laboratory does before it boots it.
    """
    row: dict[str, Any] = {"kernel": kernel.name, "limit": limit, "where": "-"}
    try:
        cases = list(cases_for(limit, profile_of(kernel), bind))
    except E820PoolError as exc:
        yield PlannedBoot(kernel=kernel, case=None, row=_row(row, error=str(exc)))
        return
    for case in cases:
        limits = {
            "where": case.where,
            "count": case.count,
            "of": case.limit.counts,
            "entries": case.entries,
        }
        yield PlannedBoot(kernel=kernel, case=case, row=row | limits)


def judge_boots(
    planned: Iterable[PlannedBoot],
    outcomes: Iterator[BootOutcome],
    options: BootOptions,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each: what the model said, what the machine did, if they agree.

    ``agree`` is None where there is no answer, for the reason in ``error``.

    Args:
        planned: in any order.
        outcomes: of those that are booted, in the same order.
        options: how kernels are run that are to crash.
    """
    for plan in planned:
        if plan.case is None:
            yield plan.row
        elif plan.case.limit.crashes:
            yield _crashed_row(plan.kernel, plan.case, plan.row, options)
        else:
            yield _judged_row(next(outcomes), plan.case, plan.row)


def _judged_row(
    outcome: BootOutcome, case: ConfirmCase, row: dict[str, Any]
) -> dict[str, Any]:
    record, loses = outcome.record, case.limit.loses
    profile = profile_of(outcome.kernel)
    if record is None:
        model = losses_of(case.handoff, profile, loses)
        word = _end_of_lost(case.limit, outcome.failure) if model else ""
        if not word:
            return _row(row, error=f"VM lost: {outcome.failure}")
        return _row(row, model=list(model), machine=[word], agree=True)
    judgement = judge_boot(record, profile)
    model = loss_ids(judgement.model.findings, loses)
    machine = loss_ids(judgement.machine.findings, case.limit.shows or loses)
    differs = [difference.field for difference in judgement.differences]
    return _row(
        row,
        model=list(model),
        machine=list(machine),
        # By what name is no matter: a console does not list what memblock lost.
        agree=bool(model) == bool(machine) and not differs,
        differs=differs,
        seconds=round(record.run.seconds.get("kernel", 0.0), 1),
    )


# The kernel crashes, and its capture kernel saves the dump or dies.
def _crashed_row(
    kernel: KernelFile, case: ConfirmCase, row: dict[str, Any], options: BootOptions
) -> dict[str, Any]:
    chain = ChainOptions(
        loaders=("panic-file",),
        inherited=case.handoff.ledger,
        nr_pages=0,
        nr_huge=0,
        pressure=False,
        accelerator=options.accelerator,
        deadlines=options.deadlines,
        ram_folder=options.ram_folder,
    )
    try:
        record = run_chain(CRASH_MACHINE, (kernel, kernel), chain)
    except LabError as exc:
        return _row(row, error=str(exc))
    if record.stopped:
        return _row(row, error=record.stopped)
    crashed, captured = record.hops
    findings = crashed.predicted.findings if crashed.predicted is not None else ()
    model = loss_ids(findings, case.limit.loses)
    dead = captured.view.fatal is not None
    machine = sorted(case.limit.loses) if dead else []
    differs = [
        difference.field for hop in record.hops for difference in hop.differences
    ]
    return _row(
        row,
        model=list(model),
        machine=machine,
        agree=bool(model) == dead and not differs and not record.touched,
        differs=differs,
        seconds=round(captured.seconds, 1),
    )


# What a limit says of a kernel that is given up at the deadline: no word on a console,
# as it died before it had one; or one last word, after which it hangs.
def _end_of_lost(limit: ObservableLimit, failure: LabError | None) -> str:
    console = getattr(failure, "console", None)
    if console is None or getattr(failure, "phase", "") != "kernel":
        return ""
    if limit.silent and console == b"":
        return "silent"
    last = console.strip().rpartition(b"\n")[2]
    return "hung" if limit.hangs_after and limit.hangs_after in last else ""


def _row(row: dict[str, Any], **values: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "count": 0,
        "of": "",
        "entries": 0,
        "model": [],
        "machine": [],
        "agree": None,
        "differs": [],
        "seconds": None,
        "error": "",
    }
    return defaults | row | values


def search_shape(
    kernel: KernelFile,
    seed: int,
    number: int,
    boot: Callable[[Handoff], BootOutcome],
    *,
    on_another: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return what a kernel made of one shape, and the smallest that fails as it did.

    The draw is the one of that ``number``; ``boot`` boots this kernel with a handoff,
    and ``on_another`` is called before each boot beyond the first.
    """

    def survives(extents: Extents) -> bool:
        on_another()
        return not _failure(boot(handoff_of(extents)))

    shape = draw_shape(Draws(seed).fork(number))
    extents = extents_of(shape)
    failure = _failure(boot(handoff_of(extents)))
    smallest = minimise(extents, survives) if failure else ()
    return {
        "kernel": kernel.name,
        "number": number,
        **shape._asdict(),
        "failure": failure,
        "reproducer": [[start, end - start] for start, end in smallest],
    }


# "" where the kernel boots, keeps all RAM, and does what the model says.
def _failure(outcome: BootOutcome) -> str:
    record = outcome.record
    if record is None:
        return f"VM lost: {outcome.failure}"
    both = judge_boot(record, profile_of(outcome.kernel))
    unsafe = [
        finding.id for finding in both.verdict.findings if finding.level == "unsafe"
    ]
    lost = [*loss_ids(both.machine.findings), *unsafe]
    lost += ["model-differs"] if both.differences else []
    return ", ".join(dict.fromkeys(lost))
