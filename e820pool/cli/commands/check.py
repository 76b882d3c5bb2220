"""check: a verdict for each kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.console import add_color_option
from e820pool.cli.inputs import add_deposit_options, bulk_lines, handoff_with_deposits
from e820pool.cli.lab_runs import add_lab_options, keep_unsafe, lab_kernels, run_boots
from e820pool.cli.progress import Progress
from e820pool.cli.status import UsageError
from e820pool.cli.targets import (
    add_config_option,
    add_fail_option,
    add_kernel_option,
    configured,
    loaded,
    one_target,
    targets,
)
from e820pool.compat import judge, judge_boot, verdict_unknown
from e820pool.compat.check_records import check_line
from e820pool.compat.paging import RunningKernel, findings_of_start, running_kernel
from e820pool.errors import CapacityError, InputError
from e820pool.kernel.predict_records import encode_line
from e820pool.kernel.profiles import profile_for
from e820pool.report.verdicts import verdicts_text
from e820pool.sources.files import read_file

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.cli.targets import Target
    from e820pool.compat import Judgement, Verdict
    from e820pool.handoff.model import Handoff
    from e820pool.lab.boot import BootOutcome


__all__ = (
    "DESCRIPTION",
    "EXAMPLE",
    "check_machines",
    "configure",
    "run",
    "verdict_for",
)

DESCRIPTION = """\
Print a verdict for each kernel: safe, degraded (RAM or the pool is lost, but no
deposited page is touched), unsafe, or unknown, with the findings behind it. With
--boot or --console, the model and the real kernel side by side: where they differ the
model has a bug, and the check fails. With --jsonl, read one record a line and write
one verdict a line, in order.
"""
EXAMPLE = "e820pool check out --kernel all"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``check``."""
    parser.add_argument(
        "handoff", metavar="HANDOFF", nargs="?", help="handoff directory or blob"
    )
    add_kernel_option(parser, many=True, default="all")
    add_config_option(parser)
    add_fail_option(parser)
    parser.add_argument(
        "--from",
        dest="running",
        metavar="KERNEL",
        help="the kernel that starts it by kexec: a release or an image; "
        "with HANDOFF live it is the one that runs",
    )
    add_deposit_options(parser)
    parser.add_argument(
        "--partial",
        action="store_true",
        help="judge a handoff of a map of which entries could not be read (line-cut)",
    )
    parser.add_argument(
        "--boot",
        action="store_true",
        help="boot the fetched images too: model and machine side by side",
    )
    parser.add_argument(
        "--console", metavar="LOG", help="judge a saved console instead of booting"
    )
    parser.add_argument(
        "--jsonl",
        metavar="FILE",
        help="bulk form: JSON Lines from a file, or - (stdin)",
    )
    parser.add_argument(
        "--jobs", metavar="N", type=int, default=2, help="boots at a time (default: 2)"
    )
    add_lab_options(parser)
    add_color_option(parser)
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Check the handoff against each kernel, or a stream of records."""
    if (args.jsonl is None) == (args.handoff is None):
        raise UsageError("check takes either HANDOFF or --jsonl FILE, and not both")
    if args.jsonl is not None and args.config is not None:
        raise UsageError("--config: each record of --jsonl has a config of its own")
    if args.jsonl is not None:
        return _bulk(args, console)
    return _check_handoff(args, console)


def _bulk(args: argparse.Namespace, console: Console) -> int:
    if args.boot or args.console is not None or args.deposit:
        raise UsageError(
            "check --jsonl reads kernel and deposits from its records: --boot, "
            "--console and --deposit are for HANDOFF"
        )
    words: set[str] = set()
    with bulk_lines(args.jsonl, console) as lines:
        for line in lines:
            answer = check_line(line)
            # A line that cannot be read has no verdict.
            words.add(answer.get("verdict", "unknown"))
            console.line(encode_line(answer))
    return status.status_of_verdicts(words, args.fail_on)


def _check_handoff(args: argparse.Namespace, console: Console) -> int:
    handoff = handoff_with_deposits(args, console)
    if handoff.firmware_map is not None and not args.partial:
        handoff.firmware_map.validate_whole()
    if args.boot or args.console is not None:
        if args.config is not None:
            raise UsageError("--config is for the model: not with --boot or --console")
        if args.running is not None:
            raise UsageError("--from is for the model: not with --boot or --console")
        return check_machines(handoff, args, console)
    kernels = [configured(target, args.config) for target in targets(args.kernel)]
    running = _running_kernel(args)
    verdicts = []
    with Progress(console, "asking the models", len(kernels)) as progress:
        for target in kernels:
            verdicts.append(verdict_for(handoff, target, running))
            progress.step()
    if args.format == "json":
        from e820pool.report.judgements import judgements_json  # noqa: PLC0415  msgspec

        console.result(judgements_json(verdicts))
    else:
        console.result(
            verdicts_text(verdicts, paint=console.paint, width=console.width)
        )
    words = (verdict.verdict for verdict in verdicts)
    return status.status_of_verdicts(words, args.fail_on)


def _running_kernel(args: argparse.Namespace) -> RunningKernel | None:
    if args.running is not None:
        return RunningKernel(profile=one_target(args.running).profile)
    if args.handoff != "live":
        return None
    # All that shows this machine: only where it is asked for.
    from e820pool.sources.live_machine import read_live_processor  # noqa: PLC0415

    version, has_five_levels = read_live_processor()
    return running_kernel(version, has_five_levels=has_five_levels)


def verdict_for(
    handoff: Handoff, target: Target, running: RunningKernel | None = None
) -> Verdict:
    """Return the model's verdict for one kernel; ``unknown`` without a profile.

    ``running`` is the kernel that starts it, where it is known.
    """
    if target.profile is None:
        return verdict_unknown(target.name, target.reason)
    try:
        handed = loaded(handoff, target)
    except CapacityError as exc:
        return verdict_unknown(target.name, f"it cannot be loaded: {exc}")
    if running is not None:
        image, line = target.image, handed.cmdline.decode("latin-1")
        pair = findings_of_start(running, target.profile, image, line)
        handed = replace(handed, notes=(*handed.notes, *pair))
    return judge(handed, target.profile, kernel=target.name)


def check_machines(handoff: Handoff, args: argparse.Namespace, console: Console) -> int:
    """Judge booted kernels, or a saved console, against the model."""
    from e820pool.report.judgements import (  # noqa: PLC0415  numpy
        judgements_json,
        judgements_text,
    )

    if args.boot and args.console is not None:
        raise InputError("check takes either --boot or --console, and not both")
    if args.console is not None:
        results: list[Judgement | Verdict] = [_of_console(handoff, args.console)]
    else:
        runs = run_boots(handoff, lab_kernels(args.kernel), args, console)
        results = [_of_outcome(outcome, args, console) for outcome in runs]
    if args.format == "json":
        console.result(judgements_json(results))
    else:
        console.result(
            judgements_text(results, paint=console.paint, width=console.width)
        )
    return status.status_of_verdicts(map(_word, results), args.fail_on)


def _word(judgement: Judgement | Verdict) -> str:
    verdict = judgement.verdict
    return verdict if isinstance(verdict, str) else verdict.verdict


def _of_outcome(
    outcome: BootOutcome, args: argparse.Namespace, console: Console
) -> Judgement | Verdict:
    from e820pool.loading.kernel_file import profile_of  # noqa: PLC0415

    name, record = outcome.kernel.name, outcome.record
    if record is None:
        return verdict_unknown(name, f"VM lost: {outcome.failure}")
    try:
        profile = profile_of(outcome.kernel)
    except InputError as exc:
        return verdict_unknown(name, str(exc))
    judgement = judge_boot(record, profile)
    keep_unsafe(outcome, judgement.verdict, args, console)
    return judgement


def _of_console(handoff: Handoff, path: str) -> Judgement:
    from e820pool.lab.machine_view import SeenBoot, view_of_console  # noqa: PLC0415
    from e820pool.sources.log_text import decode_text  # noqa: PLC0415

    text = decode_text(read_file(Path(path)), path)
    view = view_of_console(handoff, text)
    return judge_boot(SeenBoot(handoff=handoff, view=view), profile_for(view.kernel))
