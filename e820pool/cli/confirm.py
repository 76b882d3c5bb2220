"""stress --confirm: real kernels just below, at and just above a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.cli import status
from e820pool.cli.check_machines import judged
from e820pool.cli.lab_runs import lab_kernels, profile_of, run_boots
from e820pool.errors import E820PoolError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from e820pool.cli.console import Console
    from e820pool.lab.several import KernelFile
    from e820pool.stress.confirm import ConfirmCase

__all__ = ("confirm",)


def confirm(args: argparse.Namespace, console: Console) -> int:
    """Boot each kernel around each limit; 1 where model and machine differ."""
    from e820pool.report.stress_confirm import confirm_json, confirm_text  # noqa: PLC0415
    from e820pool.stress.confirm import CONFIRMABLE  # noqa: PLC0415  numpy

    limits = tuple(CONFIRMABLE) if args.confirm == "all" else (args.confirm,)
    rows = [
        row
        for kernel in lab_kernels(args.kernel)
        for limit in limits
        for row in _rows(kernel, limit, args, console)
    ]
    render = confirm_json if args.format == "json" else confirm_text
    console.result(render(rows))
    if any(row["agree"] is False for row in rows):
        return status.NOT_SAFE
    return status.NO_VERDICT if any(row["error"] for row in rows) else status.DONE


def _rows(
    kernel: KernelFile, limit: str, args: argparse.Namespace, console: Console
) -> Iterator[dict[str, Any]]:
    from e820pool.stress.confirm import cases_for  # noqa: PLC0415  numpy

    try:
        cases = list(cases_for(limit, profile_of(kernel)))
    except E820PoolError as exc:
        yield _row(kernel, limit, "-", 0, error=str(exc))
        return
    for case in cases:
        yield _boot(kernel, case, args, console)


def _boot(
    kernel: KernelFile,
    case: ConfirmCase,
    args: argparse.Namespace,
    console: Console,
) -> dict[str, Any]:
    from e820pool.stress.confirm import loss_ids  # noqa: PLC0415  numpy

    (outcome,) = run_boots(case.handoff, [kernel], args, console)
    if outcome.record is None:
        message = f"VM lost: {outcome.failure}"
        return _row(kernel, case.limit, case.where, case.entries, error=message)
    record = outcome.record
    found = judged(record.handoff, record.view, profile_of(kernel))
    model, machine = (loss_ids(one.findings) for one in (found.model, found.machine))
    return _row(
        kernel,
        case.limit,
        case.where,
        case.entries,
        model=model,
        machine=machine,
        # By what name is no matter: a console does not list what memblock lost.
        agree=bool(model) == bool(machine) and not found.differences,
    )


def _row(
    kernel: KernelFile,
    limit: str,
    where: str,
    entries: int,
    *,
    model: tuple[str, ...] = (),
    machine: tuple[str, ...] = (),
    agree: bool | None = None,
    error: str = "",
) -> dict[str, Any]:
    return {
        "kernel": kernel.name,
        "limit": limit,
        "where": where,
        "entries": entries,
        "model": list(model),
        "machine": list(machine),
        "agree": agree,
        "error": error,
    }
