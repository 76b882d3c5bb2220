"""Where much work runs: in this process, on its machine's cores, on a cluster."""

from __future__ import annotations

import signal
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from e820pool.cli.status import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Iterable, Iterator

__all__ = ("BACKENDS", "add_job_options", "is_here", "results_of")

BACKENDS = ("loky", "threading", "dask", "ray")
"""Names that joblib knows: processes or threads here, or a cluster that is there."""

_T = TypeVar("_T")
_CLUSTERS = {"dask": "e820pool[cluster]", "ray": "ray, next to e820pool[sweep]"}
# joblib's word for all workers there are.
_ALL = -1


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
        help="where they run: here (default: loky), or on a dask or ray cluster",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of the dask or ray cluster (default: the one that dask or ray finds)",
    )
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="keep what is finished here; what is there already is not run again",
    )


def is_here(args: argparse.Namespace) -> bool:
    """Return whether one job is asked for, which needs no other process or thread."""
    return args.jobs in (None, 1) and args.backend not in _CLUSTERS


def results_of(
    work: Callable[[Any], dict[str, Any]],
    items: Iterable[Any],
    args: argparse.Namespace,
    *,
    in_order: bool = False,
) -> Generator[dict[str, Any], None, None]:
    """Yield ``work(item)`` of every item as it is finished, or in the items' order.

    Only some items more than there are workers are taken from ``items`` at one time.

    Raises:
        UsageError: a backend is not installed, or its cluster is not there.
    """
    _validate(args)
    if is_here(args):
        yield from map(work, items)
        return
    joblib = _module("joblib", args.backend)
    jobs = args.jobs or _ALL
    with _cluster(args), joblib.parallel_config(backend=args.backend):
        if args.backend == "loky":
            _start_workers(joblib, jobs)
        form = "generator" if in_order else "generator_unordered"
        run = joblib.Parallel(n_jobs=jobs, return_as=form)
        yield from _until_closed(run(joblib.delayed(work)(item) for item in items))


# joblib keeps the workers of one call for the next. What they inherit stays blocked in
# them: Ctrl-C, a terminal that closes and a service that is stopped signal every
# process of a group, and this one ends its workers itself. A worker, or the process
# that unlinks their semaphores, would end with a traceback of its own; and so does a
# worker whose parent is stopped while it starts it.
def _start_workers(joblib: Any, jobs: int) -> None:
    from multiprocessing import resource_tracker  # noqa: PLC0415  not for --help

    from e820pool.report.scratch import STOPPING, undisturbed  # noqa: PLC0415

    with undisturbed():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            # Where Python starts it, it unblocks signals afterwards.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
            joblib.Parallel(n_jobs=jobs)([joblib.delayed(int)()])
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Whoever closes the answers early knows that work is cancelled, joblib need not warn.
def _until_closed(answers: Generator[_T, None, None]) -> Iterator[_T]:
    try:
        for answer in answers:  # noqa: UP028  `yield from` would close them itself
            yield answer
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            answers.close()


def _validate(args: argparse.Namespace) -> None:
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: the limit is 1")
    if args.scheduler is not None and args.backend not in _CLUSTERS:
        raise UsageError(
            f"--scheduler {args.scheduler!r} needs --backend dask or ray: "
            f"{args.backend} runs on this machine"
        )


def _module(name: str, backend: str) -> Any:
    try:
        return import_module(name)
    except ImportError as exc:
        what = _CLUSTERS.get(backend, "e820pool[sweep]")
        raise UsageError(
            f"--backend {backend} needs {exc.name}: install {what}; --jobs 1 needs "
            "neither, and --backend is one of " + ", ".join(BACKENDS)
        ) from exc


# A cluster that is there; without an address the one that dask or ray finds, or
# starts on this machine.
@contextmanager
def _cluster(args: argparse.Namespace) -> Iterator[None]:
    if args.backend not in _CLUSTERS:
        yield
        return
    try:
        cluster = _connected(args.backend, args.scheduler)
    except (OSError, RuntimeError, ValueError) as exc:
        raise UsageError(
            f"--scheduler {args.scheduler!r}: no {args.backend} cluster there: "
            f"{str(exc)[:120]}"
        ) from exc
    with cluster:
        yield


def _connected(backend: str, address: str | None) -> Any:
    if backend == "dask":
        return _module("distributed", backend).Client(address)
    register = _module("ray.util.joblib", backend)
    register.register_ray()
    return _module("ray", backend).init(address=address or "auto")
