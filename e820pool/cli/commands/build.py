"""build: a handoff directory from a map and deposits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.inputs import (
    add_deposit_options,
    add_source_argument,
    deposits_of,
    source_map,
)

if TYPE_CHECKING:
    from e820pool.cli.console import Console
    from e820pool.handoff.build import BuildOptions

__all__ = ("DESCRIPTION", "EXAMPLE", "HELP", "NAME", "configure", "run")

NAME = "build"
HELP = "build a handoff: boot_params, setup_data, command line"
DESCRIPTION = """\
Build what the next kernel gets, with the deposited pages as E820_TYPE_RESERVED, and
write it as a handoff directory. Nothing is written unless all of it is sound.
"""
EXAMPLE = "e820pool build live --deposit 1G+2M -o out"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``build``."""
    add_source_argument(parser)
    add_deposit_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        required=True,
        help="where to write the handoff",
    )
    parser.add_argument("--encoding", metavar="NAME", default="split")
    parser.add_argument(
        "--max-entries", metavar="N", type=int, help="refuse a table with more entries"
    )
    parser.add_argument(
        "--carrier",
        choices=("setup_data", "none"),
        default="setup_data",
        help="how the pool record travels (default: setup_data)",
    )
    parser.add_argument("--cmdline", metavar="TEXT", default="", help="command line")
    parser.add_argument(
        "--kernel", metavar="IMAGE", help="bzImage: place its window, copy its header"
    )
    parser.add_argument("--initrd", metavar="FILE", help="find a place for this initrd")
    parser.add_argument(
        "--place",
        metavar="PART=ADDR",
        action="append",
        default=[],
        type=_part_and_addr,
        help="put boot_params, cmdline, setup_data-N, initrd or kernel there",
    )
    parser.add_argument(
        "--generation", metavar="N", type=int, default=1, help="hops since the first"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Build the handoff and write its directory."""
    from e820pool.deposits import DepositLedger  # noqa: PLC0415  numpy
    from e820pool.handoff.build import build_handoff  # noqa: PLC0415
    from e820pool.report.handoff_dir import write_handoff  # noqa: PLC0415
    from e820pool.report.handoff_text import handoff_json, handoff_text  # noqa: PLC0415

    memory_map = source_map(args)
    console.findings(memory_map.notes)
    ledger = DepositLedger(deposits_of(args))
    handoff = build_handoff(memory_map, ledger, _options(args))
    write_handoff(handoff, args.output)
    render = handoff_json if args.format == "json" else handoff_text
    console.result(render(handoff, args.output))
    return status.DONE


def _options(args: argparse.Namespace) -> BuildOptions:
    from e820pool.abi.bzimage import parse_bzimage  # noqa: PLC0415  construct
    from e820pool.handoff.build import MAX_TABLE_ENTRIES, BuildOptions  # noqa: PLC0415

    places = dict(args.place)
    image = parse_bzimage(Path(args.kernel).read_bytes()) if args.kernel else None
    limit = MAX_TABLE_ENTRIES if args.max_entries is None else args.max_entries
    return BuildOptions(
        encoding=args.encoding,
        max_entries=limit,
        carrier=args.carrier,
        cmdline=args.cmdline,
        kernel=image,
        kernel_addr=places.pop("kernel", None),
        initrd_size=Path(args.initrd).stat().st_size if args.initrd else 0,
        addresses=places,
        generation=args.generation,
    )


def _part_and_addr(text: str) -> tuple[str, int]:
    from e820pool.deposits import parse_size  # noqa: PLC0415  numpy
    from e820pool.errors import InputError  # noqa: PLC0415

    part, found, addr = text.partition("=")
    try:
        value = parse_size(addr)
    except InputError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    if not found or not part:
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=ADDR")
    return part, value
