"""stress --confirm and --search: real kernels near limits, and with drawn shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.boot_progress import boot_progress
from e820pool.cli.lab_runs import boot_options, lab_kernels, run_boots, run_pairs
from e820pool.experiments.limit_boots import judge_boots, plan_boots
from e820pool.experiments.shape_boots import search_shape
from e820pool.lab.several import binder_of
from e820pool.report.stress_confirm import confirm_json, confirm_text
from e820pool.report.stress_search import search_json, search_text
from e820pool.stress.confirm import limits_named

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.handoff.model import Handoff
    from e820pool.lab.several import Outcome
    from e820pool.loading.kernel_file import KernelFile

__all__ = ("confirm", "search")


def confirm(args: argparse.Namespace, console: Console) -> int:
    """Boot each kernel around each limit; 1 where model and machine differ."""
    limits = limits_named(args.confirm)
    planned = [
        one
        for kernel in lab_kernels(args.kernel)
        for limit in limits
        for one in plan_boots(
            kernel, limit, binder_of(kernel, pressure=not args.no_pressure)
        )
    ]
    boots = [(one, one.case) for one in planned if one.is_booted and one.case]
    pairs = [(case.handoff, one.kernel) for one, case in boots]
    folders = [one.folder for one, _ in boots]
    with boot_progress(len(pairs), console) as seen:
        outcomes = run_pairs(pairs, folders, args, console, seen)
        rows = list(judge_boots(planned, outcomes, boot_options(args)))
    render = confirm_json if args.format == "json" else confirm_text
    console.result(render(rows))
    if any(row["agree"] is False for row in rows):
        return status.NOT_SAFE
    return status.NO_VERDICT if any(row["error"] for row in rows) else status.DONE


def search(args: argparse.Namespace, console: Console) -> int:
    """Boot shapes drawn by the seed; make each one that fails small; 1 if any does."""
    kernels = lab_kernels(args.kernel)
    rows = []
    with boot_progress(len(kernels) * args.search, console) as seen:
        for kernel in kernels:

            def boot(handoff: Handoff, kernel: KernelFile = kernel) -> Outcome:
                (outcome,) = run_boots(handoff, [kernel], args, console, seen)
                return outcome

            rows += [
                search_shape(kernel, args.seed, number, boot, on_another=seen.one_more)
                for number in range(args.search)
            ]
    render = search_json if args.format == "json" else search_text
    console.result(render(rows))
    return status.NOT_SAFE if any(row["failure"] for row in rows) else status.DONE
