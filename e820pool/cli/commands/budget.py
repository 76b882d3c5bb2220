"""budget: what fewer entries cost in RAM, choice by choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.inputs import (
    add_deposit_options,
    add_partial_option,
    add_source_argument,
    deposits_of,
    whole_map,
)
from e820pool.deposits import DepositLedger
from e820pool.handoff.budget import budget_curve
from e820pool.handoff.encodings import encoding_named
from e820pool.report.budget_text import (
    budget_csv,
    budget_json,
    budget_text,
)

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Print how many bytes of RAM between deposits have to be given up for the table to have
so many entries, at the least; build --max-entries N makes that choice. JSON and CSV
have every choice that no other beats.
"""
EXAMPLE = "e820pool budget live --deposit @deposits.json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``budget``."""
    add_source_argument(parser)
    add_deposit_options(parser)
    add_partial_option(parser)
    parser.add_argument(
        "--encoding",
        choices=("split", "hybrid"),
        default="split",
        help="of the table (default: split)",
    )
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the curve of entries against bytes."""
    memory_map = whole_map(args, console)
    ledger = DepositLedger(deposits_of(args, console))
    table = encoding_named(args.encoding).make_table(memory_map, ledger)
    curve = budget_curve(table)
    if args.format == "table":
        console.result(budget_text(curve, console.width))
    else:
        console.result({"json": budget_json, "csv": budget_csv}[args.format](curve))
    return status.DONE
