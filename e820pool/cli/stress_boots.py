"""stress --confirm, --search and --measure: what asks real kernels."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e820pool.cli import status
from e820pool.cli.boot_progress import boot_progress
from e820pool.cli.lab_runs import boot_options, lab_kernels, run_boots, run_pairs
from e820pool.cli.status import UsageError
from e820pool.deposits import parse_size
from e820pool.experiments.deposit_runs import (
    arenas_of,
    compared,
    measured_row,
    read_rows,
)
from e820pool.experiments.limit_boots import judge_boots, plan_boots
from e820pool.experiments.shape_boots import search_shape
from e820pool.lab.boot import binder_of
from e820pool.report.files import write_file
from e820pool.report.stress_confirm import confirm_json, confirm_text
from e820pool.report.stress_measure import measure_curves, measure_json, measure_text
from e820pool.report.stress_search import search_json, search_text
from e820pool.stress.confirm import limits_named

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.handoff.model import Handoff
    from e820pool.lab.boot import Outcome
    from e820pool.loading.kernel_file import KernelFile

__all__ = ("confirm", "measure", "search")

# Ageing takes minutes where other work is done beside it.
_AGEING_SECONDS = 1800.0


def confirm(args: argparse.Namespace, console: Console) -> int:
    """Boot each kernel around each limit; 1 where model and machine differ."""
    limits = limits_named(args.confirm)
    planned = [
        plan
        for kernel in lab_kernels(args.kernel)
        for limit in limits
        for plan in plan_boots(
            kernel, limit, binder_of(kernel, pressure=not args.no_pressure)
        )
    ]
    boots = [(plan, plan.case) for plan in planned if plan.is_booted and plan.case]
    pairs = [(case.handoff, plan.kernel) for plan, case in boots]
    folders = [plan.folder for plan, _ in boots]
    with boot_progress(len(pairs), console) as progress:
        outcomes = run_pairs(pairs, folders, args, console, progress)
        rows = list(judge_boots(planned, outcomes, boot_options(args)))
    as_json = args.format == "json"
    console.result(confirm_json(rows) if as_json else confirm_text(rows, console.width))
    if any(row["agree"] is False for row in rows):
        return status.NOT_SAFE
    return status.NO_VERDICT if any(row["error"] for row in rows) else status.DONE


def search(args: argparse.Namespace, console: Console) -> int:
    """Boot shapes drawn by the seed; make each one that fails small; 1 if any does."""
    kernels = lab_kernels(args.kernel)
    rows = []
    with boot_progress(len(kernels) * args.search, console) as progress:
        for kernel in kernels:

            def boot(handoff: Handoff, kernel: KernelFile = kernel) -> Outcome:
                (outcome,) = run_boots(handoff, [kernel], args, console, progress)
                return outcome

            rows += [
                search_shape(
                    kernel, args.seed, number, boot, on_another=progress.one_more
                )
                for number in range(args.search)
            ]
    render = search_json if args.format == "json" else search_text
    console.result(render(rows))
    return status.NOT_SAFE if any(row["failure"] for row in rows) else status.DONE


def measure(args: argparse.Namespace, console: Console) -> int:
    """Let aged guests deposit, or read what was kept; print both curves."""
    if args.measured is not None:
        rows = read_rows(Path(args.measured))
    else:
        rows = _measured(args, console)
        if args.results:
            before = (
                read_rows(Path(args.results)) if Path(args.results).exists() else []
            )
            lines = [json.dumps(row, sort_keys=True) + "\n" for row in (*before, *rows)]
            write_file(args.results, "".join(lines))
    curves = [compared(row, range(args.seed, args.seed + args.seeds)) for row in rows]
    if args.plot:
        from e820pool.report.stress_plot import write_plot  # noqa: PLC0415  an extra

        write_plot(measure_curves(curves), args.plot)
    as_json = args.format == "json"
    console.result(
        measure_json(curves) if as_json else measure_text(curves, console.width)
    )
    answered = all(row["calls"] for row in curves)
    return status.DONE if curves and answered else status.NO_VERDICT


def _measured(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    if not args.ram:
        raise UsageError("--measure needs --ram SIZE: the guest's memory")
    options = boot_options(args)
    if args.deadline is None:
        ageing = replace(options.deadlines, pressure=_AGEING_SECONDS)
        options = replace(options, deadlines=ageing)
    policies = args.policy or ["scattered"]
    for policy in policies:
        arenas_of(policy)
    cells = list(product(lab_kernels(args.kernel), args.ram, policies))
    rows = []
    with boot_progress(len(cells), console) as progress:
        for kernel, size, policy in cells:
            progress.started(kernel, f" with {size}, {policy}")
            row = measured_row(
                kernel,
                parse_size(size),
                options,
                age=args.wear,
                pages=args.pages,
                calls=args.max_calls or 100_000,
                policy=policy,
                nodes=args.nodes or 1,
                on_phase=partial(progress.is_over, kernel),
            )
            rows.append(row)
            progress.ended(kernel.name)
    return rows
