"""kexec: start the next kernel of this machine with its deposits kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.inputs import add_deposit_options
from e820pool.cli.kexec_request import both_names, changes_of, request_of
from e820pool.cli.panic import run_panic
from e820pool.cli.status import UsageError
from e820pool.errors import E820PoolError
from e820pool.live.attempt import attempt, give_up
from e820pool.live.gates import (
    obstacles,
    validate_can_load,
    validate_machine,
)
from e820pool.live.inherited import STATE_FOLDER, read_kept
from e820pool.live.load import (
    execute_loaded,
    keep_handoff,
    load_planned,
)
from e820pool.live.plan import plan_kexec
from e820pool.report.kexec_text import plan_json, plan_text
from e820pool.sources.live_machine import read_live_machine

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.live.attempt import Attempt
    from e820pool.live.plan import KexecPlan
    from e820pool.sources.live_machine import LiveMachine

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Build the handoff for the next kernel of this machine from its firmware's map, the pool
that the running kernel inherited and what was deposited since; check it against that
very kernel image; and load it, only if the verdict is `safe`. Without --load or
--execute nothing is touched: the plan is printed, with the verdict, the table, the
segments and the exact command. With --panic it is the capture kernel of a crash, and
what is said is which memory its dump holds.
"""

_LONGEST_WAIT = 3600

EXAMPLE = "e820pool kexec --kernel newest --reuse-cmdline --deposit 1G+2M"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``kexec``."""
    parser.add_argument(
        "--kernel",
        metavar="IMAGE|VERSION",
        help="a bzImage; or one of /boot by its version, `running` or `newest`, with "
        "its own initrd, configuration, and command line of the boot loader's",
    )
    parser.add_argument("--initrd", metavar="FILE", help="its initial RAM file system")
    line = parser.add_mutually_exclusive_group()
    line.add_argument("--append", metavar="CMDLINE", help="the next command line")
    line.add_argument(
        "--reuse-cmdline",
        action="store_true",
        help="the running kernel's command line",
    )
    _add_deposits(parser)
    parser.add_argument(
        "--loader",
        choices=("ours", "kexec-load"),
        default="ours",
        help="ours: kexec_load(2) with exactly our parts; kexec-load: stock "
        "kexec-tools, which read a tree of ours (default: ours)",
    )
    parser.add_argument(
        "--carrier",
        choices=("setup_data", "file"),
        help="how the pool record travels: a node of the next kernel's chain (ours "
        "only, its default), or only the file in the state folder, kept in any case",
    )
    _add_actions(parser)
    parser.add_argument(
        "--panic",
        action="store_true",
        help="a capture kernel for a crash (kdump), by stock kexec-tools that read "
        "/proc/iomem and /proc/kcore without the deposits; load it again after each "
        "deposit",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def _add_deposits(parser: argparse.ArgumentParser) -> None:
    add_deposit_options(parser)
    parser.add_argument(
        "--deposits", metavar="FILE", help="deposits.json, or one RANGE a line"
    )
    parser.add_argument(
        "--agent",
        metavar="SOCKET|COMMAND",
        help="ask who keeps the deposits: a UNIX socket, or a program that prints "
        "deposits.json; frozen while a kernel is loaded",
    )
    parser.add_argument(
        "--agent-wait",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="how long the agent's socket may need to appear, as while the machine "
        "starts (default: 0)",
    )
    parser.add_argument(
        "--withdraw",
        metavar="RANGE",
        action="append",
        default=[],
        help="inherited pages that are RAM again; may be repeated",
    )
    parser.add_argument(
        "--inherited",
        action="store_true",
        help="no deposits but those that this kernel inherited",
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise ValueError(text)
    return seconds


_seconds.__name__ = f"number of seconds, 0 to {_LONGEST_WAIT}"


def _add_actions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan only (the default)"
    )
    parser.add_argument("--load", action="store_true", help="load it (root)")
    parser.add_argument(
        "--execute", action="store_true", help="load it and start it (root)"
    )
    parser.add_argument(
        "--unload",
        action="store_true",
        help="drop what is loaded, and let the agent go on (root)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="load it whatever the verdict; the findings are printed",
    )
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        help="where the record is kept for the kernel after this load (default: "
        "/var/lib/e820pool)",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        type=Path,
        help="plan for the machine of which DIR holds copies of /proc and /sys",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Plan, check, and where asked load and start; 1 when the verdict forbids it."""
    if args.unload:
        return _unloaded(args)
    if args.panic:
        return run_panic(args, console, _validate)
    acts = (args.load or args.execute) and not _is_elsewhere(args)

    def gates() -> LiveMachine:
        _validate(args)
        machine = read_live_machine(args.root or Path("/"))
        if acts:
            validate_can_load(machine.gates, args.loader)
        return machine

    wait = args.agent_wait
    with attempt(args.agent, acts=acts, gates=gates, wait=wait) as trial:
        plan = _plan(args, trial, console)
        if not acts or (plan.verdict.verdict != "safe" and not args.force):
            return _planned(plan, trial.machine, args, console)
        return _loaded(plan, trial, args, console)


def _unloaded(args: argparse.Namespace) -> int:
    if args.load or args.execute or args.root is not None:
        raise UsageError("--unload is for this machine, and goes with --agent only")
    validate_machine()
    validate_can_load(read_live_machine().gates, "ours")
    give_up(args.agent, panic=args.panic)
    return status.DONE


def _validate(args: argparse.Namespace) -> None:
    validate_machine()
    if args.kernel is None:
        raise UsageError("kexec needs --kernel IMAGE")
    lists = (args.deposit or args.withdraw, args.deposits, args.agent)
    named = sum(map(bool, lists))
    if named > 1 or (args.inherited and args.agent):
        raise UsageError(
            "kexec takes deposits from one place: --deposit and --withdraw, "
            "--deposits, or --agent"
        )
    if not named and not args.inherited:
        raise UsageError(
            "kexec is told of no deposits: --deposit, --deposits, --agent; or "
            "--inherited where there are none since the boot"
        )
    if (args.load or args.execute) and _is_elsewhere(args):
        raise UsageError("--load and --execute are for this machine, and no dry run")
    if args.panic and (args.execute or args.carrier):
        raise UsageError("--panic is started by a crash: no --execute, no --carrier")
    if args.carrier == "setup_data" and args.loader != "ours":
        raise UsageError(
            "--carrier setup_data needs --loader ours: kexec-tools make a chain of "
            "their own"
        )


# Nothing of this machine is meant, whatever else is said.
def _is_elsewhere(args: argparse.Namespace) -> bool:
    return args.dry_run or args.root is not None


def _plan(args: argparse.Namespace, trial: Attempt, console: Console) -> KexecPlan:
    changes = trial.agent_changes or changes_of(args, console)
    request = request_of(trial.machine, args, changes)
    with both_names(args.kernel, Path(request.kernel.name)):
        return plan_kexec(trial.machine, request, read_kept(args.state or STATE_FOLDER))


def _planned(
    plan: KexecPlan, machine: LiveMachine, args: argparse.Namespace, console: Console
) -> int:
    refused = args.load or args.execute
    reasons = (
        () if args.root is not None else tuple(obstacles(machine.gates, args.loader))
    )
    if args.format == "json":
        done = "refused" if refused else "planned"
        console.result(plan_json(plan, reasons, done=done))
    else:
        console.result(plan_text(plan, reasons))
        end = "dry run: nothing was touched; --load loads, --execute starts it"
        if refused:
            end = (
                f"refused: the verdict is {plan.verdict.verdict}; nothing is loaded "
                "(--force goes on)"
            )
        console.note(end)
    return status.status_of_verdicts([plan.verdict.verdict])


def _loaded(
    plan: KexecPlan, trial: Attempt, args: argparse.Namespace, console: Console
) -> int:
    keep_handoff(plan, args.state or STATE_FOLDER)
    output = load_planned(plan)
    as_json = args.format == "json"
    console.result(plan_json(plan, done="loaded") if as_json else plan_text(plan))
    for line in output.splitlines():
        console.note(line)
    # Whoever starts it gets to see why; where that fails nothing stays loaded.
    console.out.flush()
    # From here on a signal, which is what a shutdown sends, must not unload it.
    trial.succeeded = True
    if args.execute:
        try:
            execute_loaded(plan)
        except E820PoolError:
            trial.succeeded = False
            raise
    return status.DONE
