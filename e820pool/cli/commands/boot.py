"""boot: what a real kernel makes of a handoff."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi.bzimage import parse_bzimage
from e820pool.cli import status
from e820pool.cli.console import add_color_option
from e820pool.cli.inputs import add_deposit_options, handoff_with_deposits
from e820pool.cli.lab_runs import (
    add_lab_options,
    boot_options,
    keep_unsafe,
    one_lab_kernel,
    run_boots,
)
from e820pool.compat import judge_machine
from e820pool.errors import InputError
from e820pool.findings import one_line
from e820pool.kernel.profiles import profile_without_model
from e820pool.lab.boot import dry_run
from e820pool.loading.kernel_file import known_profile
from e820pool.report.verdicts import verdicts_text
from e820pool.report.view_document import view_json, view_text

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.compat import Verdict
    from e820pool.handoff.model import Handoff
    from e820pool.kernel.profiles import Profile
    from e820pool.lab.boot import BootRecord
    from e820pool.loading.kernel_file import KernelFile

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Boot a stock kernel image in QEMU with exactly this boot_params, setup_data chain and
command line (and the lab's own words behind it), fill its memory, and show what it
made of the table and which deposited pages it ever read or wrote.
"""
EXAMPLE = "e820pool boot out --kernel 6.1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``boot``."""
    parser.add_argument("handoff", metavar="HANDOFF", help="handoff directory")
    parser.add_argument(
        "--kernel",
        metavar="KERNEL",
        required=True,
        help="a bzImage, or a release that 'kernels fetch' got",
    )
    add_deposit_options(parser)
    add_lab_options(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="write what would be loaded and print the QEMU command",
    )
    add_color_option(parser)
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Boot one kernel; 1 when it touched a deposit, 4 when the machine was lost."""
    handoff = handoff_with_deposits(args, console)
    kernel = one_lab_kernel(args.kernel, "boot", "use check --boot for several")
    if args.dry_run:
        return _dry_run(handoff, kernel, args, console)
    (outcome,) = run_boots(handoff, [kernel], args, console)
    if outcome.record is None:
        raise outcome.failure or InputError("no outcome")
    verdict = judge_machine(outcome.record, _profile(kernel))
    keep_unsafe(outcome, verdict, args, console)
    return _shown(outcome.record, verdict, args, console)


# What a kernel touches can be seen without a model of it.
def _profile(kernel: KernelFile) -> Profile:
    release = parse_bzimage(kernel.image).release
    return known_profile(kernel) or profile_without_model(release)


def _shown(
    record: BootRecord, verdict: Verdict, args: argparse.Namespace, console: Console
) -> int:
    if args.format == "json":
        console.result(view_json(record.view, verdict))
    else:
        text = verdicts_text([verdict], paint=console.paint, width=console.width)
        console.result(f"{view_text(record.view)}\n\n{text}")
    return status.status_of_verdicts([verdict.verdict])


def _dry_run(
    handoff: Handoff, kernel: KernelFile, args: argparse.Namespace, console: Console
) -> int:
    folder = Path(args.keep or tempfile.mkdtemp(prefix="e820pool-boot-"))
    folder.mkdir(parents=True, exist_ok=True)
    command = dry_run(handoff, kernel.image, folder, boot_options(args))
    console.note(f"the parts that it loads are in {folder}")
    console.result(one_line(command))
    return status.DONE
