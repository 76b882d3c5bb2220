"""compare: encodings against kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi.bzimage import parse_bzimage
from e820pool.cli import status
from e820pool.cli.inputs import (
    add_deposit_options,
    add_source_argument,
    deposits_of,
    source_map,
)
from e820pool.cli.lab_runs import add_lab_options, boot_options, lab_kernels
from e820pool.cli.progress import BootProgress
from e820pool.cli.targets import targets
from e820pool.deposits import DepositLedger
from e820pool.documents import document_text
from e820pool.errors import InputError
from e820pool.handoff.encodings import ENCODINGS, encoding_named
from e820pool.loading.kernel_file import KernelFile, profile_of
from e820pool.pool.designs import design_cell
from e820pool.report.chapters import ComparisonDocument, EncodingDocument
from e820pool.report.compare import booted_of, cell_of, compare_svg, compare_text
from e820pool.report.output import write_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from e820pool.cli.console import Console
    from e820pool.kernel.profiles import Profile
    from e820pool.lab.boot import BootOutcome
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.designs import DesignCell
    from e820pool.report.chapters import BootedDocument, CellDocument

    Candidate = tuple[str, Profile, KernelFile | None]

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Build every encoding of the same deposits for every kernel, ask the model for a verdict,
and with --boot the real kernel, too: which deposited pages it touched. With each goes
what it costs in entries, command line and RAM, whether the pool can be rebuilt, and
whether the next kexec keeps the deposits out of RAM when nobody tells it of them.
"""
EXAMPLE = "e820pool compare machine.txt --deposit 128M+2M --kernel 5.10,6.1,7.3"

_DEFAULT_KERNELS = "3.10,4.19,5.10,6.1,6.12,6.18,7.3"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``compare``."""
    add_source_argument(parser)
    add_deposit_options(parser)
    parser.add_argument(
        "--kernel",
        metavar="LIST",
        help="comma list of releases or images; with --boot of fetched ones, or all "
        f"(default: {_DEFAULT_KERNELS}; with --boot: all that were fetched)",
    )
    parser.add_argument(
        "--encoding", metavar="LIST", help="comma list of encodings (default: all)"
    )
    parser.add_argument(
        "--boot", action="store_true", help="boot every kernel with every encoding"
    )
    add_lab_options(parser)
    parser.add_argument("--format", choices=("table", "json", "svg"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Compare; 1 when a real kernel contradicts the model, 4 when one was lost."""
    memory_map = source_map(args, console)
    ledger = DepositLedger(deposits_of(args, console))
    if not len(ledger):
        raise InputError("nothing is deposited: --deposit says what")
    comparison = _comparison(memory_map, ledger, args, console)
    if args.format == "table":
        console.result(compare_text(comparison, console.width))
    else:
        render = {"json": document_text, "svg": compare_svg}[args.format]
        console.result(render(comparison))
    return _status(comparison)


def _comparison(
    memory_map: MemoryMap,
    ledger: DepositLedger,
    args: argparse.Namespace,
    console: Console,
) -> ComparisonDocument:
    names = _encodings(args.encoding)
    kernels = _candidates(args)
    cells: list[CellDocument] = []
    nr_cells = len(names) * len(kernels)
    with BootProgress(nr_cells, console, "asking the models") as progress:
        for name in names:
            row = _modelled(memory_map, ledger, name, kernels)
            cells += _row(row, kernels, args, progress)
    return ComparisonDocument(
        kernels=tuple(name for name, _, _ in kernels),
        encodings=tuple(
            EncodingDocument(name=name, meaning=ENCODINGS[name].meaning)
            for name in names
        ),
        nr_deposits=len(ledger),
        nr_deposited_pages=ledger.extents.nr_pages,
        cells=tuple(cells),
        model_foresaw_all=all(cell.is_foreseen for cell in cells),
    )


def _encodings(text: str | None) -> list[str]:
    if text is None:
        return list(ENCODINGS)
    return [encoding_named(part.strip()).name for part in text.split(",")]


def _candidates(args: argparse.Namespace) -> list[Candidate]:
    if args.boot:
        files = lab_kernels(args.kernel or "all")
        return [(kernel.name, profile_of(kernel), kernel) for kernel in files]
    candidates: list[Candidate] = []
    for target in targets(args.kernel or _DEFAULT_KERNELS):
        if target.profile is None:
            raise status.UnknownKernelError(target.reason)
        candidates.append(
            (target.name, target.profile, _file(target.name, target.image))
        )
    return candidates


def _file(name: str, image: bytes | None) -> KernelFile | None:
    return None if image is None else KernelFile(name=name, image=image)


def _modelled(
    memory_map: MemoryMap,
    ledger: DepositLedger,
    encoding: str,
    kernels: list[Candidate],
) -> list[DesignCell]:
    row = []
    for name, profile, file in kernels:
        image = None if file is None else parse_bzimage(file.image)
        cell = design_cell(memory_map, ledger, encoding, profile, image)
        row.append(replace(cell, kernel=name))
    return row


def _row(
    row: list[DesignCell],
    kernels: list[Candidate],
    args: argparse.Namespace,
    progress: BootProgress,
) -> Iterator[CellDocument]:
    for cell, (_, profile, file) in zip(row, kernels, strict=True):
        booted = None
        if args.boot and cell.handoff is not None and file is not None:
            booted = _booted(cell, profile, file, args, progress)
        progress.ended(cell.kernel)
        yield cell_of(cell, booted)


def _booted(
    cell: DesignCell,
    profile: Profile,
    file: KernelFile,
    args: argparse.Namespace,
    progress: BootProgress,
) -> BootedDocument:
    from e820pool.lab.boot import boot_pairs  # noqa: PLC0415  numpy

    assert cell.handoff is not None  # noqa: S101  for the type checker
    (outcome,) = boot_pairs(
        [(cell.handoff, file)],
        boot_options(args),
        on_start=lambda kernel: progress.started(kernel, f" with {cell.encoding}"),
        on_phase=progress.is_over,
    )
    _keep(outcome, cell, args.keep)
    return booted_of(cell, outcome, profile)


def _keep(outcome: BootOutcome, cell: DesignCell, keep: str | None) -> None:
    if keep is None:
        return

    folder = Path(keep) / cell.encoding
    folder.mkdir(parents=True, exist_ok=True)
    console = outcome.record.console if outcome.record else b""
    console = console or getattr(outcome.failure, "console", b"")
    write_file(folder / f"{Path(outcome.kernel.name).name}.log", console)


def _status(comparison: ComparisonDocument) -> int:
    booted = [cell.booted for cell in comparison.cells if cell.booted]
    if any(not boot.agrees and boot.verdict is not None for boot in booted):
        return status.NOT_SAFE
    is_lost = any(boot.verdict is None for boot in booted)
    return status.NO_VERDICT if is_lost else status.DONE
