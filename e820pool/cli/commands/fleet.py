"""fleet: captured maps of many hosts against many kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.cli import status
from e820pool.cli.job_options import add_job_options, job_options
from e820pool.cli.progress import Progress
from e820pool.cli.status import UsageError
from e820pool.cli.targets import add_fail_option, add_kernel_option, targets
from e820pool.documents import document_text, json_line
from e820pool.errors import InputError
from e820pool.experiments.kept_results import KeptResults, finished_results
from e820pool.report.fleet_counts import FleetCounts
from e820pool.sources.fleet_files import count_fleet, read_fleet
from e820pool.stress.captured import Captured, check_captured

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Read the maps of many hosts, from a folder, JSON Lines or Parquet; build the handoff
of each, with its own deposits or with some single pages drawn by a seed, and print how
many hosts are safe, degraded or unsafe under each kernel. Hosts are read, judged and
told one by one, however many there are; --jobs shares them among processes or a dask
cluster.
"""
# Hosts without a verdict whose reason is told one by one.
_TOLD = 3

EXAMPLE = "e820pool fleet maps/ --kernel all --jobs 2"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fleet``."""
    parser.add_argument(
        "maps",
        metavar="FLEET",
        help="a folder of maps, a .jsonl file, a .parquet file or a folder of these",
    )
    add_kernel_option(parser, many=True, default="all")
    add_fail_option(parser)
    parser.add_argument(
        "--scatter",
        metavar="N",
        type=int,
        default=16,
        help="single pages to deposit where a host names none (default: 16)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of their draw (default: 0)"
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="take a host's map of which entries cannot be read (line-cut)",
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="go on to the verdicts' status where a host has no map that can be read; "
        "each is still named (without: status 3)",
    )
    add_job_options(parser)
    parser.add_argument(
        "--format",
        choices=("table", "json", "jsonl"),
        default="table",
        help="table and json sum up, jsonl has a host a line",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Judge every host; the worst verdict decides the status."""
    if args.scatter < 0:
        raise UsageError(f"--scatter {args.scatter}: the limit is 0")
    counts = FleetCounts()
    streams, options = args.format == "jsonl", job_options(args, console)
    with (
        KeptResults(args.results) as kept,
        Progress(
            console, "judging hosts", _size(args, console), streams=streams
        ) as progress,
    ):
        for _, answer in finished_results(
            check_captured, _hosts(args), options, kept, in_order=True
        ):
            progress.step()
            counts.take(answer)
            if "error" in answer and args.format == "table":
                failed = counts.nr_failed - len(counts.unreadable)
                _note_failure(answer, failed, console)
            if args.format == "jsonl":
                console.result(json_line(answer))
    if not counts.nr_hosts:
        raise InputError(f"{args.maps!r} has no host: a verdict on none is none")
    if args.format == "json":
        console.result(document_text(counts.document()))
    elif args.format == "table":
        console.result(counts.text(console.width))
    if counts.unreadable and not args.skip_unreadable:
        return status.BAD_INPUT
    code = status.status_of_verdicts({w for _, w in counts.verdicts}, args.fail_on)
    is_judged = counts.verdicts and counts.nr_failed == len(counts.unreadable)
    return status.NO_VERDICT if code == status.DONE and not is_judged else code


# Each host without a map is named, since nobody else will miss it; of those that are
# not judged the first few tell what is wrong with all.
def _note_failure(answer: dict[str, Any], failed: int, console: Console) -> None:
    if answer.get("unreadable") or failed <= _TOLD:
        console.note(f"host {answer['id']}: {answer['error']}")
    elif failed == _TOLD + 1:
        console.note("and more: --format jsonl has every host")


# Counting them is worth it only where it is shown.
def _size(args: argparse.Namespace, console: Console) -> int | None:
    return count_fleet(args.maps) if console.shows_progress else None


def _hosts(args: argparse.Namespace) -> Iterator[Captured]:
    kernels = _releases(args.kernel)
    ids: set[str] = set()
    for record in read_fleet(args.maps, partial=args.partial):
        error = record.error
        if record.id in ids:
            error = f"the id {record.id!r} is there twice: ids name hosts"
        ids.add(record.id)
        yield Captured(
            id=record.id,
            rows=record.rows,
            deposits=record.deposits,
            error=error,
            notes=record.notes,
            kernels=kernels,
            scatter=args.scatter,
            seed=args.seed,
            devices=record.devices,
            later=record.later,
        )


def _releases(names: str) -> tuple[str, ...]:
    kernels = targets(names)
    for target in kernels:
        if target.profile is None:
            raise status.UnknownKernelError(target.reason)
        if target.image is not None:
            raise UsageError(
                f"--kernel {target.name!r} is an image, which lies elsewhere on each "
                "host: fleet judges by release, as 6.1 or all; `check` takes images"
            )
    return tuple(target.name for target in kernels)
