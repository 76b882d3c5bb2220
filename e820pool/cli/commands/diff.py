"""diff: two maps side by side."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.console import add_color_option
from e820pool.cli.inputs import add_block_option, map_of
from e820pool.cli.status import UsageError
from e820pool.report.map_diff import diff_json, diff_maps, diff_text

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Read two sources and compare them address by address, as memory and not as lists of
entries: where the entries of one overlap, the highest type counts, and how a range is
split is no difference. Marks: = same, < only in A, > only in B, ~ another type.

exit status: 0 when every byte has the same type in both, 1 when not.
"""
EXAMPLE = "e820pool diff before.txt after.txt --changes"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diff``."""
    for name in ("a", "b"):
        parser.add_argument(
            name,
            metavar=f"SOURCE-{name.upper()}",
            help="file, directory, - or live",
        )
    add_block_option(parser)
    parser.add_argument(
        "--changes", action="store_true", help="leave out what is the same"
    )
    add_color_option(parser)
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Compare; 1 when some byte has another type."""
    if args.a == args.b == "-":
        raise UsageError("standard input holds one map: name a file for A or for B")
    a, b = (map_of(source, args, console) for source in (args.a, args.b))
    diff = diff_maps(a, b)
    if args.format == "json":
        console.result(diff_json(diff))
    else:
        width = shutil.get_terminal_size().columns
        text = diff_text(
            diff, width=width, only_changes=args.changes, paint=console.paint
        )
        console.result(text)
    return status.DONE if diff.is_equal else status.NOT_SAFE
