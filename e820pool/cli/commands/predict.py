"""predict: what a modelled kernel makes of a handoff."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.inputs import bulk_lines
from e820pool.cli.status import UsageError
from e820pool.cli.targets import (
    add_config_option,
    add_kernel_option,
    configured,
    default_kernel,
    one_target,
    view_of,
)
from e820pool.kernel.predict_records import answer_of_line, encode_line
from e820pool.report.view_document import view_json, view_text
from e820pool.sources.handoff_dir import read_handoff

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Print the view of the modelled kernel: its maps, its memory, where KASLR may put it.
With --jsonl, read one record a line and write one a line, in order; where a record
cannot be read its line says why, and the exit status is 3.
"""
EXAMPLE = "e820pool predict out --kernel 6.1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``predict``."""
    parser.add_argument(
        "handoff", metavar="HANDOFF", nargs="?", help="directory or blob"
    )
    add_kernel_option(parser, many=False)
    add_config_option(parser)
    parser.add_argument(
        "--jsonl",
        metavar="FILE",
        help="bulk form: JSON Lines from a file, or - (stdin)",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Predict for one handoff, or for a stream of records."""
    if (args.jsonl is None) == (args.handoff is None):
        raise UsageError("predict takes either HANDOFF or --jsonl FILE, and not both")
    if args.jsonl is not None and args.config is not None:
        raise UsageError("--config: each record of --jsonl has a config of its own")
    if args.jsonl is not None:
        return _bulk(args.jsonl, console)
    target = configured(one_target(default_kernel(args)), args.config)
    handoff = read_handoff(args.handoff)
    console.findings(handoff.notes)
    _, view = view_of(handoff, target)
    console.result(view_json(view) if args.format == "json" else view_text(view))
    return status.DONE


def _bulk(path: str, console: Console) -> int:

    code = status.DONE
    with bulk_lines(path, console) as lines:
        for line in lines:
            answer = answer_of_line(line)
            if "error" in answer:
                code = status.BAD_INPUT
            console.line(encode_line(answer))
    return code
