"""stress: when entries run out under a depositor's pattern, and for whom never."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e820pool.cli import status
from e820pool.cli.inputs import add_source_argument, source_map
from e820pool.cli.job_options import add_job_options, job_options
from e820pool.cli.lab_runs import (
    add_lab_options,
    boot_options,
    lab_kernels,
    run_boots,
    run_pairs,
)
from e820pool.cli.progress import BootProgress, Progress
from e820pool.cli.status import UsageError
from e820pool.cli.targets import add_kernel_option
from e820pool.deposits import parse_size
from e820pool.experiments.deposit_runs import (
    arenas_of,
    compared,
    measured_row,
    read_rows,
)
from e820pool.experiments.kept_results import KeptResults, finished_results
from e820pool.experiments.limit_boots import judge_boots, plan_boots, search_shape
from e820pool.lab.boot import binder_of
from e820pool.report.output import write_file
from e820pool.report.stress_boots import (
    confirm_json,
    confirm_text,
    measure_curves,
    measure_json,
    measure_text,
    search_json,
    search_text,
)
from e820pool.report.stress_text import stress_csv, stress_json, stress_text
from e820pool.sources.buddyinfo import read_free_blocks
from e820pool.stress.bands import bands_of, has_deposits
from e820pool.stress.cells import cells_of, run_cell
from e820pool.stress.confirm import limits_named
from e820pool.stress.host import generated_map
from e820pool.stress.policies import DEFAULT_POLICIES, parse_policy
from e820pool.stress.workload import DRIVERS, Workload

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from e820pool.cli.console import Console
    from e820pool.handoff.model import Handoff
    from e820pool.lab.boot import BootOutcome
    from e820pool.loading.kernel_file import KernelFile
    from e820pool.memory_map import MemoryMap
    from e820pool.sources.buddyinfo import ZoneFree
    from e820pool.stress.cells import Cell


__all__ = (
    "DESCRIPTION",
    "EXAMPLE",
    "configure",
    "confirm",
    "measure",
    "run",
    "search",
)

DESCRIPTION = """\
Let guests come and go on a host for some days, deposit pages for them as the driver
does, and say at which call and guest each limit of entries falls, policy by policy.
The host is a real map (SOURCE) or one of a size (--ram); what of it is free is taken
from its buddyinfo or assumed (--wear). The same arguments give the same answer.
"""
EXAMPLE = "e820pool stress --ram 256G --guests 50 --days 7"

# Option, field of Workload, and what it says.
_WORKLOAD = (
    ("--guests", "guests", int, "guests that live at one time"),
    ("--days", "days", float, "days that are simulated"),
    (
        "--ram-share",
        "guest_ram_share",
        float,
        "share of RAM (with --buddyinfo of what is free) for all guests, 0 to 1",
    ),
    ("--vps", "vps", int, "virtual processors a guest"),
    ("--lifetime", "lifetime_days", float, "mean days of a guest, 0: for ever"),
    ("--devices", "devices_per_day", float, "devices added to a guest, a day"),
    ("--grows", "grows_per_day", float, "calls for a guest that grows, a day"),
    ("--trims", "trims_per_day", float, "calls that withdraw, a guest and day"),
    ("--retries", "retries", float, "mean calls for a single page, each hypercall"),
    ("--max-calls", "max_calls", int, "deposit calls after which it stops"),
    ("--ramp", "ramp_days", float, "days in which the first guests are created"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``stress``."""
    add_source_argument(parser, optional=True)
    _add_host_options(parser)
    for option, name, kind, text in _WORKLOAD:
        usual = getattr(Workload(), name)
        parser.add_argument(
            option,
            metavar="N",
            dest=name,
            type=kind,
            help=f"{text} (default: {usual:.10g})",
        )
    parser.add_argument(
        "--driver",
        choices=tuple(DRIVERS),
        default="6.1",
        help="whose sizes of calls: arch/x86/hyperv of 6.1, drivers/hv of 7.3 "
        "(default: 6.1)",
    )
    add_job_options(parser)
    _add_boot_options(parser)
    add_kernel_option(parser, many=True, default="all")
    add_lab_options(parser)
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw the curves, with their bands: .png, .svg or .pdf (default: none)",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json", "csv"),
        default="table",
        help="of the answer; csv has the curve of each seed (default: table)",
    )


# What asks real kernels, instead of simulating.
def _add_boot_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--confirm",
        metavar="LIMIT",
        help="instead: boot kernels around limits: all, or a comma list of zero-page, "
        "table, memblock, trampoline, freed-array, fragments, ext-node, kaslr-memmap",
    )
    parser.add_argument(
        "--search",
        metavar="N",
        type=int,
        help="instead: boot N shapes of deposits, and make small what is not survived "
        "(no default)",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="instead: age a real guest of --ram (--wear, --nodes), let it deposit as "
        "the driver does, and print its entries beside the simulated ones; --policy "
        "may be scattered (the default), per-node, arenas up to 4M or of 1G, "
        "movable:SIZE, and cma:Nx1G where the kernel has CMA",
    )
    parser.add_argument(
        "--measured",
        metavar="FILE",
        help="the same with what --measure --results FILE has kept, of each --policy "
        "or of all; boots nothing",
    )
    parser.add_argument(
        "--pages",
        metavar="N",
        type=int,
        default=511,
        help="pages of a measured deposit call, 1 to 511 (default: 511)",
    )


def _add_host_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ram",
        metavar="SIZE",
        action="append",
        default=[],
        help="a host of so many bytes, as 256G or 12T, 4G and more; may be repeated "
        "(no default: this or SOURCE)",
    )
    parser.add_argument(
        "--policy",
        metavar="NAME",
        action="append",
        default=[],
        help="where pages come from: scattered, per-node, top-down, cma:NxSIZE, "
        "arenas:SIZE, grown:STEP-HOME, movable:SIZE; may be repeated "
        f"(default: {', '.join(DEFAULT_POLICIES)})",
    )
    parser.add_argument(
        "--nodes",
        metavar="N",
        type=int,
        help="NUMA nodes, equal shares of RAM (default: 1, or those of --buddyinfo)",
    )
    parser.add_argument(
        "--buddyinfo",
        metavar="FILE",
        help="blocks that are free: /proc/buddyinfo (with pagetypeinfo), or live "
        "(default: as --wear says)",
    )
    parser.add_argument(
        "--wear",
        choices=("fresh", "used", "worn"),
        default="used",
        help="how fragmented the host is, without --buddyinfo (default: used)",
    )
    parser.add_argument(
        "--encoding",
        choices=("split", "hybrid"),
        default="split",
        help="whose entries are counted (default: split)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="the first one (default: 0)"
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=int,
        default=5,
        help="how many, one after another; what is told is their range (default: 5)",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Simulate every host, policy and seed, and print the answer."""
    if any(value not in (None, False) for value in _modes(args).values()):
        return _boot(args, console)

    workload = _workload(args)
    results = _simulated(_cells(args, workload, console), args, console)
    if args.plot:
        from e820pool.report.stress_plot import write_plot  # noqa: PLC0415  an extra

        write_plot(bands_of(results), args.plot)
    if args.format == "csv":
        console.result(stress_csv(results))
    elif args.format == "json":
        console.result(stress_json(results, workload))
    else:
        console.result(stress_text(results, workload, console.width))
    answered = any(result["reason"] or has_deposits(result) for result in results)
    return status.DONE if answered else status.NO_VERDICT


def _simulated(
    cells: tuple[Cell, ...], args: argparse.Namespace, console: Console
) -> list[dict[str, Any]]:
    options = job_options(args, console)
    with KeptResults(args.results) as kept:
        keys = {cell.key for cell in cells}
        nr_missing = sum(key not in kept for key in keys)
        if nr_missing < len(keys):
            console.note(f"{len(keys) - nr_missing} of {len(keys)} are there already")
        results = {}
        with Progress(console, "simulating", len(cells)) as progress:
            for cell, result in finished_results(
                run_cell, cells, options, kept, within=progress.within
            ):
                results[cell.key] = result
                progress.step()
    return [results[cell.key] for cell in cells]


def _modes(args: argparse.Namespace) -> dict[str, Any]:
    names = ("confirm", "search", "measure", "measured")
    return {f"--{name}": getattr(args, name) for name in names}


def _boot(args: argparse.Namespace, console: Console) -> int:
    modes = [name for name, value in _modes(args).items() if value not in (None, False)]
    if len(modes) > 1:
        raise UsageError(f"stress takes one of {' and '.join(modes)}, and not both")
    (name,) = modes
    if args.source is not None or (args.ram and name != "--measure"):
        raise UsageError(f"{name} makes its own handoffs: leave SOURCE and --ram out")
    if args.format == "csv":
        raise UsageError(f"{name} prints a table or JSON, and no CSV")
    runs = {"--confirm": confirm, "--search": search}
    return runs.get(name, measure)(args, console)


def _workload(args: argparse.Namespace) -> Workload:
    options = {name: getattr(args, name) for _, name, _, _ in _WORKLOAD}
    given = {name: value for name, value in options.items() if value is not None}
    return Workload(**given, driver=args.driver)


def _cells(
    args: argparse.Namespace, workload: Workload, console: Console
) -> tuple[Cell, ...]:
    if args.seeds < 1:
        raise UsageError(f"--seeds {args.seeds}: the limit is 1")
    policies = args.policy or DEFAULT_POLICIES
    for policy in policies:
        parse_policy(policy)
    info = read_free_blocks(args.buddyinfo) if args.buddyinfo else ()
    if args.buddyinfo == "live" and all(zone.own is None for zone in info):
        console.note(
            "/proc/pagetypeinfo is for root only: which free pages are the kernel's "
            "own kind is assumed"
        )
    same: dict[str, Any] = {
        "workload": workload,
        "nodes": _nodes(args, info),
        "wear": args.wear,
        "info": info,
        "encoding": args.encoding,
    }
    seeds = range(args.seed, args.seed + args.seeds)
    return cells_of(_hosts(args, info, console), policies, seeds, **same)


def _nodes(args: argparse.Namespace, info: Sequence[ZoneFree]) -> int:
    if args.nodes is not None:
        return int(args.nodes)
    return 1 + max((zone.node for zone in info), default=0)


def _hosts(
    args: argparse.Namespace, info: Sequence[ZoneFree], console: Console
) -> list[tuple[str, MemoryMap]]:
    if (args.source is None) == (not args.ram):
        raise UsageError("stress takes either SOURCE or --ram SIZE, and not both")
    if args.source is not None:
        return [(args.source, source_map(args, console))]
    return [(size, generated_map(parse_size(size), info)) for size in args.ram]


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
    with BootProgress(len(pairs), console) as progress:
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
    with BootProgress(len(kernels) * args.search, console) as progress:
        for kernel in kernels:

            def boot(handoff: Handoff, kernel: KernelFile = kernel) -> BootOutcome:
                (outcome,) = run_boots(handoff, [kernel], args, console, progress)
                return outcome

            rows += [
                search_shape(
                    kernel, args.seed, number, boot, on_another=progress.expect_more
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
        if args.policy:
            rows = [row for row in rows if row["policy"] in args.policy]
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

        write_plot(measure_curves(curves), args.plot, by_pairs=True)
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
    with BootProgress(len(cells), console) as progress:
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
