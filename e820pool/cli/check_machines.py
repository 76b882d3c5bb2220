"""check --boot and check --console: the real kernel beside the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.lab_runs import keep_unsafe, lab_kernels, run_boots
from e820pool.errors import InputError

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.compat import Judgement, Verdict
    from e820pool.handoff.model import Handoff
    from e820pool.lab.boot import Outcome

__all__ = ("check_machines",)


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
    outcome: Outcome, args: argparse.Namespace, console: Console
) -> Judgement | Verdict:
    from e820pool.compat import judge_boot, verdict_unknown  # noqa: PLC0415  numpy
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
    from e820pool.compat import judge_boot  # noqa: PLC0415  numpy
    from e820pool.kernel.profiles import profile_for  # noqa: PLC0415
    from e820pool.lab.machine_view import SeenBoot, view_of_console  # noqa: PLC0415
    from e820pool.sources.files import read_file  # noqa: PLC0415
    from e820pool.sources.log_text import decode_text  # noqa: PLC0415

    text = decode_text(read_file(Path(path)), path)
    view = view_of_console(handoff, text)
    return judge_boot(SeenBoot(handoff=handoff, view=view), profile_for(view.kernel))
