"""The options of commands that run much work: where, and what of it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli.status import UsageError
from e820pool.experiments.jobs import BACKENDS, JobOptions

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("add_job_options", "job_options")


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--jobs``, ``--backend``, ``--scheduler`` and ``--results``."""
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        help="processes (default: 1 here, on a cluster all it has)",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="loky",
        help="where they run: here (default: loky), or on a dask cluster",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of the dask cluster (default: processes that dask starts here)",
    )
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="keep what is finished here; what is there already is not run again",
    )


def job_options(args: argparse.Namespace, console: Console) -> JobOptions:
    """Return where the work is to run; the console hears of a cluster that starts.

    Raises:
        UsageError: fewer jobs than one, or a scheduler of no cluster.
    """
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: the limit is 1")
    options = JobOptions(
        jobs=args.jobs,
        backend=args.backend,
        scheduler=args.scheduler,
        tell=console.note,
    )
    if args.scheduler is not None and not options.is_cluster:
        raise UsageError(
            f"--scheduler {args.scheduler!r} needs --backend dask: "
            f"{args.backend} runs on this machine"
        )
    return options
