"""chain: deposits carried over real kexecs."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.inputs import (
    add_deposit_options,
    add_source_argument,
    deposits_of,
    source_map,
    whole_number,
)
from e820pool.cli.lab_runs import add_lab_options, boot_options, lab_kernels
from e820pool.cli.progress import Progress
from e820pool.deposits import DepositLedger
from e820pool.errors import InputError, LabError
from e820pool.lab.chain import run_chain
from e820pool.lab.chain_model import LOADERS, ChainOptions
from e820pool.report.chain_text import (
    chain_json,
    chain_text,
    hop_line,
)
from e820pool.report.output import write_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from e820pool.cli.console import Console
    from e820pool.lab.chain_model import Hop, Loader
    from e820pool.loading.kernel_file import KernelFile

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Boot the first kernel in QEMU, let it deposit pages at run time, start the next one by
kexec, fill its memory, rebuild the pool from what it has, deposit more, and so on. For
each kernel: the table that it was given, which deposited pages it ever read or wrote,
and whether its pool is what was deposited. With --loader panic-... the last kernel is
a capture kernel: the one before crashes, and its dump is read.
"""
EXAMPLE = "e820pool chain machine.txt --kernel 6.1 --kernel 5.10 --kernel 6.1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``chain``."""
    add_source_argument(parser)
    add_deposit_options(parser)
    parser.add_argument(
        "--kernel",
        metavar="KERNEL",
        action="append",
        required=True,
        help="a bzImage, or a release that 'kernels fetch' got; repeated, in order",
    )
    parser.add_argument(
        "--loader",
        metavar="LIST",
        default="ours",
        help="ours; kexec-load or kexec-file (stock kexec-tools); kexec-file-memmap "
        "(the latter, deposits as memmap= on the next command line); for the last hop "
        "also panic-file, panic-load (kexec-tools), panic-ours (they read files of "
        "ours): the kernel crashes, and the last one reads the dump; a comma list has "
        "one for each hop (default: ours)",
    )
    parser.add_argument(
        "--carrier",
        choices=("setup_data", "pmpool", "none"),
        default="setup_data",
        help="how the pool record travels (default: setup_data)",
    )
    _add_pattern_options(parser)
    add_lab_options(parser, is_chain=True)
    parser.add_argument("--format", choices=("table", "json"), default="table")


# What each kernel deposits and gives back.
def _add_pattern_options(parser: argparse.ArgumentParser) -> None:
    def add_count(option: str, usual: int, text: str) -> None:
        parser.add_argument(
            option,
            metavar="N",
            type=whole_number,
            default=usual,
            help=f"{text} (default: {usual})",
        )

    add_count("--pages", 20, "single pages that each kernel deposits")
    add_count("--huge", 1, "pages of 2 MiB that each kernel deposits")
    add_count(
        "--preserve",
        0,
        "pages of a memfd that the first kernel deposits and hands over by a live "
        "update: --cmdline 'kho=on liveupdate=on', --loader kexec-file",
    )
    add_count(
        "--pool",
        0,
        "pages that each kernel takes out of its own pool by /proc/pmpool, which "
        "the series' kernel has (specs/rivals.md); the chain then goes on where no "
        "pool of ours is rebuilt",
    )
    parser.add_argument(
        "--deposit-once",
        action="store_true",
        help="only the first kernel deposits",
    )
    add_count(
        "--late",
        0,
        "single pages that each kernel deposits when the next one is loaded, and "
        "of which that one is not told",
    )
    add_count(
        "--withdraw", 0, "pages that each kernel withdraws of what it finds deposited"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the chain; 1 when a deposit was touched or a pool is lost."""
    options = _options(args, console)
    memory_map, kernels = source_map(args, console), _kernels(args.kernel)

    number = count(1)
    try:
        with Progress(console, _hop_name(kernels, 0), len(kernels)) as progress:

            def arrived(hop: Hop) -> None:
                if not console.json:
                    console.note(hop_line(hop))
                progress.step()
                progress.say(_hop_name(kernels, next(number)))

            record = run_chain(memory_map, kernels, options, on_hop=arrived)
    except LabError as exc:
        _keep({"lost.log": getattr(exc, "console", b"")}, args.keep, console)
        raise
    consoles = {
        f"{at}-{Path(hop.kernel).name}.log": hop.console
        for at, hop in enumerate(record.hops)
    }
    # What was touched once may not be again: consoles and findings stay in any case.
    if args.keep is not None or not record.is_intact:
        summary = {"chain.json": chain_json(record).encode() + b"\n"}
        _keep(consoles | summary, args.keep, console)
    as_json = args.format == "json"
    console.result(chain_json(record) if as_json else chain_text(record, console.width))
    return status.DONE if record.is_intact else status.NOT_SAFE


def _hop_name(kernels: list[KernelFile], number: int) -> str:
    if number == len(kernels):
        return "the last one ends"
    name = Path(kernels[number].name).name
    return f"kexec to {name}" if number else f"booting {name}"


def _options(args: argparse.Namespace, console: Console) -> ChainOptions:
    lab = boot_options(args)
    return ChainOptions(
        loaders=_loaders(args.loader),
        carrier=args.carrier,
        nr_pages=args.pages,
        nr_huge=args.huge,
        nr_preserved=args.preserve,
        nr_pool=args.pool,
        inherited=DepositLedger(deposits_of(args, console)),
        once=args.deposit_once,
        nr_late=args.late,
        nr_withdrawn=args.withdraw,
        pressure=lab.pressure,
        accelerator=lab.accelerator,
        deadlines=lab.deadlines,
        ram_folder=lab.ram_folder,
        memory_devices=lab.memory_devices,
        cpu=args.cpu,
        cmdline=args.cmdline,
    )


def _loaders(text: str) -> tuple[Loader, ...]:
    loaders: list[Loader] = []
    for name in text.split(","):
        known = [loader for loader in LOADERS if loader == name.strip()]
        if not known:
            raise InputError(f"loader {name!r} is not one of: {', '.join(LOADERS)}")
        loaders += known
    return tuple(loaders)


def _kernels(names: list[str]) -> list[KernelFile]:
    kernels = [kernel for name in names for kernel in lab_kernels(name)]
    if len(kernels) < 2:
        raise InputError(
            f"a chain of {len(kernels)} kernel: the limit is at least 2, repeat "
            "--kernel"
        )
    return kernels


def _keep(files: Mapping[str, bytes], folder: str | None, console: Console) -> None:
    if not any(files.values()):
        return
    place = Path(folder or tempfile.mkdtemp(prefix="e820pool-chain-"))
    place.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if data:
            write_file(place / name, data)
    if folder is None:
        console.note(f"consoles are kept in {place}")
