"""stress --confirm: real kernels just below, at and just above a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.cli import status
from e820pool.cli.boot_progress import boot_progress
from e820pool.cli.lab_runs import binder_of, lab_kernels, run_pairs
from e820pool.errors import E820PoolError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from e820pool.cli.console import Console
    from e820pool.errors import LabError
    from e820pool.lab.several import Outcome
    from e820pool.loading.kernel_file import KernelFile
    from e820pool.stress.confirm import ConfirmCase, ObservableLimit

    Planned = tuple[KernelFile, ConfirmCase | None, dict[str, Any]]

__all__ = ("confirm",)


def confirm(args: argparse.Namespace, console: Console) -> int:
    """Boot each kernel around each limit; 1 where model and machine differ."""
    from e820pool.report.stress_confirm import confirm_json, confirm_text  # noqa: PLC0415
    from e820pool.stress.confirm import limits_named  # noqa: PLC0415  numpy

    limits = limits_named(args.confirm)
    planned = [
        one
        for kernel in lab_kernels(args.kernel)
        for limit in limits
        for one in _planned(kernel, limit, args)
    ]
    rows = list(_booted(planned, args, console))
    render = confirm_json if args.format == "json" else confirm_text
    console.result(render(rows))
    if any(row["agree"] is False for row in rows):
        return status.NOT_SAFE
    return status.NO_VERDICT if any(row["error"] for row in rows) else status.DONE


# The boots of a limit; or, where there is none, the row that says why.
def _planned(
    kernel: KernelFile, limit: str, args: argparse.Namespace
) -> Iterator[Planned]:
    from e820pool.loading.kernel_file import profile_of  # noqa: PLC0415  numpy
    from e820pool.stress.confirm import cases_for  # noqa: PLC0415  numpy

    try:
        cases = list(cases_for(limit, profile_of(kernel), binder_of(kernel, args)))
    except E820PoolError as exc:
        row = {"kernel": kernel.name, "limit": limit, "where": "-"}
        yield kernel, None, _row(row, error=str(exc))
        return
    for case in cases:
        told = {
            "kernel": kernel.name,
            "limit": limit,
            "where": case.where,
            "count": case.count,
            "of": case.limit.counts,
            "entries": case.entries,
        }
        yield kernel, case, told


def _booted(
    planned: list[Planned], args: argparse.Namespace, console: Console
) -> Iterator[dict[str, Any]]:
    pairs = [(case.handoff, kernel) for kernel, case, _ in planned if case is not None]
    folders = [
        f"{row['kernel'].replace('/', '-').strip('-')}-{row['limit']}-{row['where']}"
        for _, case, row in planned
        if case is not None
    ]
    with boot_progress(len(pairs), console) as seen:
        outcomes = run_pairs(pairs, folders, args, console, seen)
        for _, case, row in planned:
            yield row if case is None else _judged_row(next(outcomes), case, row)


def _judged_row(
    outcome: Outcome, case: ConfirmCase, row: dict[str, Any]
) -> dict[str, Any]:
    from e820pool.compat import judge_boot  # noqa: PLC0415  numpy
    from e820pool.loading.kernel_file import profile_of  # noqa: PLC0415
    from e820pool.stress.confirm import loss_ids, losses_of  # noqa: PLC0415

    record, profile, loses = (
        outcome.record,
        profile_of(outcome.kernel),
        case.limit.loses,
    )
    if record is None:
        model = losses_of(case.handoff, profile, loses)
        word = _end_of_lost(case.limit, outcome.failure) if model else ""
        if not word:
            return _row(row, error=f"VM lost: {outcome.failure}")
        return _row(row, model=list(model), machine=[word], agree=True)
    found = judge_boot(record, profile)
    model = loss_ids(found.model.findings, loses)
    machine = loss_ids(found.machine.findings, case.limit.shows or loses)
    differs = [one.field for one in found.differences]
    return _row(
        row,
        model=list(model),
        machine=list(machine),
        # By what name is no matter: a console does not list what memblock lost.
        agree=bool(model) == bool(machine) and not differs,
        differs=differs,
        seconds=round(record.run.seconds.get("kernel", 0.0), 1),
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


def _row(row: dict[str, Any], **told: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {
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
    return nothing | row | told
