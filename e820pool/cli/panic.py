"""kexec --panic: load the capture kernel of a crash, its dump without deposits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from e820pool.cli import status
from e820pool.cli.kexec_request import both_names, changes_of, request_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from e820pool.cli.console import Console
    from e820pool.live.attempt import Attempt
    from e820pool.live.panic import PanicPlan
    from e820pool.sources.live_machine import LiveMachine

__all__ = ("run_panic",)

_LOADER: Literal["kexec-load"] = "kexec-load"


def run_panic(
    args: argparse.Namespace,
    console: Console,
    validate: Callable[[argparse.Namespace], None],
) -> int:
    """Plan, check, and with --load load; 1 when the verdict forbids it."""
    from e820pool.live.attempt import attempt  # noqa: PLC0415  numpy
    from e820pool.live.gates import obstacles, validate_can_load  # noqa: PLC0415
    from e820pool.live.load import load_panic  # noqa: PLC0415
    from e820pool.sources.live_machine import read_live_machine  # noqa: PLC0415

    def gates() -> LiveMachine:
        validate(args)
        machine = read_live_machine(args.root or Path("/"))
        if args.load:
            validate_can_load(machine.gates, _LOADER)
        return machine

    acts = args.load and not (args.dry_run or args.root)
    wait = args.agent_wait
    with attempt(args.agent, acts=acts, gates=gates, panic=True, wait=wait) as trial:
        plan = _plan(args, trial, console)
        if args.load and (plan.verdict.verdict == "safe" or args.force):
            output = load_panic(plan)
            _show(args, console, plan, (), "loaded")
            for line in output.splitlines():
                console.note(line)
            console.out.flush()
            trial.succeeded = True
            return status.DONE
    reasons = () if args.root else tuple(obstacles(trial.machine.gates, _LOADER))
    _show(args, console, plan, reasons, "refused" if args.load else "planned")
    return status.status_of_verdicts([plan.verdict.verdict])


def _show(
    args: argparse.Namespace,
    console: Console,
    plan: PanicPlan,
    obstacles: Sequence[str],
    done: str,
) -> None:
    from e820pool.report.panic_text import panic_json, panic_text  # noqa: PLC0415

    if args.format == "json":
        console.result(panic_json(plan, obstacles, done))
        return
    console.result(panic_text(plan, obstacles))
    console.note(_END[done])


_END = {
    "planned": "dry run: nothing was touched; --load loads it",
    "refused": "refused: no capture kernel is loaded (--force goes on)",
    "loaded": "loaded: a deposit made from now on is in the dump; load it again then",
}


def _plan(args: argparse.Namespace, trial: Attempt, console: Console) -> PanicPlan:
    from e820pool.live.inherited import STATE_FOLDER, read_kept  # noqa: PLC0415  numpy
    from e820pool.live.panic import plan_panic  # noqa: PLC0415
    from e820pool.sources.live_machine import read_crash_sources  # noqa: PLC0415

    changes = trial.agent_changes or changes_of(args, console)
    request = request_of(trial.machine, args, changes)
    # A capture kernel has nothing to keep for another.
    words = request.cmdline.split(b" ")
    if args.append is None:
        words = [word for word in words if not word.startswith(b"crashkernel=")]
    request = replace(request, cmdline=b" ".join(words), loader=_LOADER)
    sources = read_crash_sources(args.root or Path("/"))
    with both_names(args.kernel, Path(request.kernel.name)):
        kept = read_kept(args.state or STATE_FOLDER)
        return plan_panic(trial.machine, request, sources, kept)
