"""kexec: start the next kernel of this machine with its deposits kept."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from e820pool.cli import status
from e820pool.cli.inputs import add_deposit_options, deposits_of, say_how_taken
from e820pool.cli.status import UsageError
from e820pool.cli.targets import image_path
from e820pool.deposits import Deposit, parse_range
from e820pool.errors import E820PoolError, InputError
from e820pool.extents import ExtentSet
from e820pool.live.gates import (
    obstacles,
    validate_can_load,
    validate_machine,
)
from e820pool.live.inherited import STATE_FOLDER, read_kept
from e820pool.live.load import (
    attempt,
    execute_loaded,
    give_up,
    keep_handoff,
    load_panic,
    load_planned,
)
from e820pool.live.panic import PanicPlan, plan_panic
from e820pool.live.plan import KexecRequest, plan_kexec
from e820pool.loading.kernel_file import read_kernel_file
from e820pool.report.kexec_text import plan_json, plan_text
from e820pool.sources.deposits_file import DepositChanges, parse_changes
from e820pool.sources.files import read_file, read_large_file
from e820pool.sources.installed_kernels import find_installed, own_cmdline
from e820pool.sources.live_machine import (
    read_crash_sources,
    read_live_machine,
    reusable_cmdline,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from e820pool.cli.console import Console
    from e820pool.live.load import Attempt
    from e820pool.live.plan import KexecPlan
    from e820pool.sources.installed_kernels import InstalledKernel
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
_ROOT = Path("/")
_PANIC_LOADER: Literal["kexec-load"] = "kexec-load"
# Python and its libraries alone make an initrd of more than other inputs may have.
_INITRD_LIMIT = 2 << 30

# What is said last, by how far it came.
_ENDS = {
    "planned": "dry run: nothing was touched; --load loads, --execute starts it",
    "refused": "refused: the verdict is {}; nothing is loaded (--force goes on)",
    "loaded": "",
}
_PANIC_ENDS = {
    "planned": "dry run: nothing was touched; --load loads it",
    "refused": "refused: no capture kernel is loaded (--force goes on)",
    "loaded": "loaded: a deposit made from now on is in the dump; load it again then",
}

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
    acts = (args.load or args.execute) and not _is_elsewhere(args)
    loader = _PANIC_LOADER if args.panic else args.loader

    def gates() -> LiveMachine:
        _validate(args)
        machine = read_live_machine(args.root or _ROOT)
        if acts:
            validate_can_load(machine.gates, loader)
        return machine

    wait = args.agent_wait
    with attempt(
        args.agent, acts=acts, gates=gates, panic=args.panic, wait=wait
    ) as trial:
        plan = _plan(args, trial, console)
        if acts and (plan.verdict.verdict == "safe" or args.force):
            return _loaded(plan, trial, args, console)
    reasons = () if args.root else tuple(obstacles(trial.machine.gates, loader))
    done = "refused" if args.load or args.execute else "planned"
    _show(plan, reasons, done, args, console)
    return status.status_of_verdicts([plan.verdict.verdict])


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


def _plan(
    args: argparse.Namespace, trial: Attempt, console: Console
) -> KexecPlan | PanicPlan:
    changes = trial.agent_changes or _changes(args, console)
    request = _request(trial.machine, args, changes)
    kept_in = args.state or STATE_FOLDER
    if not args.panic:
        with _both_names(args.kernel, Path(request.kernel.name)):
            return plan_kexec(trial.machine, request, read_kept(kept_in))
    # A capture kernel has nothing to keep for another.
    words = request.cmdline.split(b" ")
    if args.append is None:
        words = [word for word in words if not word.startswith(b"crashkernel=")]
    request = replace(request, cmdline=b" ".join(words), loader=_PANIC_LOADER)
    sources = read_crash_sources(args.root or _ROOT)
    with _both_names(args.kernel, Path(request.kernel.name)):
        return plan_panic(trial.machine, request, sources, read_kept(kept_in))


def _show(
    plan: KexecPlan | PanicPlan,
    reasons: Sequence[str],
    done: str,
    args: argparse.Namespace,
    console: Console,
) -> None:
    if args.format == "json":
        console.result(plan_json(plan, reasons, done=done))
        return
    console.result(plan_text(plan, reasons))
    end = (_PANIC_ENDS if isinstance(plan, PanicPlan) else _ENDS)[done]
    if end:
        console.note(end.format(plan.verdict.verdict))


def _loaded(
    plan: KexecPlan | PanicPlan,
    trial: Attempt,
    args: argparse.Namespace,
    console: Console,
) -> int:
    if isinstance(plan, PanicPlan):
        output = load_panic(plan)
    else:
        keep_handoff(plan, args.state or STATE_FOLDER)
        output = load_planned(plan)
    _show(plan, (), "loaded", args, console)
    for line in output.splitlines():
        console.note(line)
    # Whoever starts it gets to see why; where that fails nothing stays loaded.
    console.out.flush()
    # From here on a signal, which is what a shutdown sends, must not unload it.
    trial.succeeded = True
    if args.execute and not isinstance(plan, PanicPlan):
        try:
            execute_loaded(plan)
        except E820PoolError:
            trial.succeeded = False
            raise
    return status.DONE


def _changes(args: argparse.Namespace, console: Console) -> DepositChanges:
    """Return what the options name as deposited and withdrawn since the boot.

    Raises:
        InputError, BadImageError: a range or the file of --deposits is none.
    """
    if args.deposits is not None:
        changes = parse_changes(read_file(Path(args.deposits)), args.deposits)
        say_how_taken(changes.readings, console)
        return changes
    withdrawn = [Deposit.from_bytes(*parse_range(text)) for text in args.withdraw]
    return DepositChanges(
        deposits=tuple(deposits_of(args, console)),
        withdrawn=ExtentSet(
            (deposit.start_pfn, deposit.end_pfn) for deposit in withdrawn
        ),
    )


def _request(
    machine: LiveMachine, args: argparse.Namespace, changes: DepositChanges
) -> KexecRequest:
    """Return which kernel is asked for, with its files read.

    A kernel that is named by its version brings its own initrd, configuration and
    command line; what the options say comes first.

    Raises:
        InputError, BadImageError: a file cannot be read, or the image is none.
    """
    named = _installed(args)
    image = image_path(args.kernel) if named is None else named.image
    initrd = _initrd_name(args, named)
    with _both_names(args.kernel, image):
        line = args.append or ""
        if args.reuse_cmdline:
            cmdline = reusable_cmdline(machine.cmdline)
        else:
            if named is not None and args.append is None:
                line = own_cmdline(named, args.root or _ROOT)
            cmdline = line.encode("utf-8", "surrogateescape")
        return KexecRequest(
            kernel=read_kernel_file(image),
            initrd_name=initrd,
            initrd=read_large_file(Path(initrd), _INITRD_LIMIT) if initrd else b"",
            cmdline=cmdline,
            changes=changes,
            loader=args.loader,
            carries_record=args.carrier != "file",
        )


@contextmanager
def _both_names(name: str, image: Path) -> Iterator[None]:
    """Let an error say what was asked for and which file that is."""
    try:
        yield
    except E820PoolError as exc:
        real = str(image.resolve())
        if name != real:
            exc.add_note(f"--kernel {name} is {real}")
        raise


def _installed(args: argparse.Namespace) -> InstalledKernel | None:

    if "/" in args.kernel or image_path(args.kernel).is_file():
        return None
    return find_installed(args.kernel, args.root or _ROOT)


def _initrd_name(
    args: argparse.Namespace, kernel: InstalledKernel | None
) -> str | None:
    initrd: str | None = args.initrd
    if initrd is not None or kernel is None:
        return initrd
    if kernel.initrd is None:
        raise InputError(
            f"kernel {args.kernel!r}: no initrd lies beside {str(kernel.image)!r}: say "
            "--initrd FILE, or --kernel with its path if it needs none"
        )
    return str(kernel.initrd)
