"""build: a handoff directory from a map and deposits."""

from __future__ import annotations

import argparse
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.inputs import (
    add_deposit_options,
    add_device_option,
    add_partial_option,
    add_source_argument,
    deposits_of,
    known_devices,
    whole_map,
    whole_number,
)
from e820pool.cli.targets import image_path
from e820pool.deposits import DepositLedger, parse_size
from e820pool.errors import InputError
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.loading.kernel_file import parse_image
from e820pool.report.handoff_files import write_handoff
from e820pool.report.handoff_text import handoff_json, handoff_text
from e820pool.sources.files import read_file

if TYPE_CHECKING:
    from e820pool.abi.bzimage import BzImage
    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Build what the next kernel gets, with the deposited pages as E820_TYPE_RESERVED (as
ACPI data where they hold a whole memory block, which a kernel might add to its memory),
and write it as a handoff directory. Nothing is written unless all of it is sound.
"""
EXAMPLE = "e820pool build live --deposit 1G+2M -o out"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``build``."""
    add_source_argument(parser)
    add_deposit_options(parser)
    add_partial_option(parser)
    add_device_option(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        required=True,
        help="where to write the handoff",
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        default="guarded",
        help="how deposits are kept out of RAM (default: guarded; a name that does "
        "not exist lists all)",
    )
    parser.add_argument(
        "--max-entries",
        metavar="N",
        type=whole_number,
        help="give up RAM, the fewest bytes, until the table has no more entries "
        "(default: give up none, and refuse more than 3200, the largest kernel's); a "
        "kernel needs some 5 for itself: 315 for one that holds 320",
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
        "--generation",
        metavar="N",
        type=whole_number,
        default=1,
        help="hops since the first kernel, kept in the pool record (default: 1)",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Build the handoff and write its directory."""
    from e820pool.report.budget_text import budget_findings  # noqa: PLC0415

    memory_map = whole_map(args, console)
    memory_map = replace(memory_map, devices=known_devices(args, memory_map.devices))
    ledger = DepositLedger(deposits_of(args, console))
    handoff = build_handoff(memory_map, ledger, _options(args))
    console.findings(budget_findings(handoff))
    write_handoff(handoff, args.output)
    render = handoff_json if args.format == "json" else handoff_text
    console.result(render(handoff, args.output))
    return status.DONE


def _options(args: argparse.Namespace) -> BuildOptions:
    places = dict(args.place)
    return BuildOptions(
        encoding=args.encoding,
        max_entries=args.max_entries,
        carrier=args.carrier,
        cmdline=args.cmdline,
        kernel=None if args.kernel is None else _image(args.kernel),
        kernel_addr=places.pop("kernel", None),
        initrd_size=0 if args.initrd is None else _size_of(args.initrd),
        addresses=places,
        generation=args.generation,
    )


def _image(path: str) -> BzImage:
    return parse_image(read_file(image_path(path)))


def _size_of(path: str) -> int:
    try:
        info = Path(path).stat()
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise InputError(f"cannot read {path!r}: {reason.lower()}") from exc
    if not stat.S_ISREG(info.st_mode) or not info.st_size:
        raise InputError(
            f"initrd {path!r} is no file with content: {info.st_size:#x} bytes"
        )
    return info.st_size


def _part_and_addr(text: str) -> tuple[str, int]:
    part, _, addr = text.partition("=")
    if not part or not addr:
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=ADDR")
    try:
        return part, parse_size(addr)
    except InputError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
