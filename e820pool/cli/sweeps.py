"""Run many cells: on local cores or a cluster, with progress, kept as they finish."""

from __future__ import annotations

from contextlib import closing, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e820pool.cli.progress import Progress
from e820pool.cli.status import UsageError
from e820pool.errors import BadImageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Iterable, Sequence
    from contextlib import AbstractContextManager

    from e820pool.cli.console import Console

__all__ = (
    "BACKENDS",
    "KeptResults",
    "add_job_options",
    "results_of",
    "run_all",
)

BACKENDS = ("loky", "threading", "dask", "ray")
"""Names that joblib knows: processes or threads here, or a cluster that is there."""

_KIND = "kept-results"


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--jobs``, ``--backend``, ``--scheduler`` and ``--results``."""
    parser.add_argument(
        "--jobs", metavar="N", type=int, default=1, help="processes (default: 1)"
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="loky",
        help="where they run: here (default: loky), or on a dask or ray cluster",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of the dask or ray cluster"
    )
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="keep what is finished here; what is there already is not run again",
    )


class KeptResults:
    """Hold finished results by key, in a file that is whole at every moment.

    Without a path nothing is kept beyond the process.
    """

    __slots__ = ("_path", "_results")

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._results: dict[str, dict[str, Any]] = {}
        if path is not None and Path(path).exists():
            self._results = _read(path)

    def __contains__(self, key: str) -> bool:
        return key in self._results

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._results[key]

    def keep(self, result: dict[str, Any]) -> None:
        """Add one result and write the file anew."""
        from e820pool.report.files import write_file  # noqa: PLC0415  on use
        from e820pool.report.jsons import document, json_text  # noqa: PLC0415

        self._results[result["key"]] = result
        if self._path is not None:
            rows = list(self._results.values())
            write_file(self._path, json_text(document(_KIND, results=rows)))


def run_all(
    work: Callable[..., dict[str, Any]],
    items: Sequence[Any],
    args: argparse.Namespace,
    console: Console,
) -> list[dict[str, Any]]:
    """Return ``work(item)`` of every item that has a ``key``, in their order.

    Args:
        work: a function of a module, so that other processes can import it; in this
            one its ``progress`` is called with the share of an item that is done.
        items: plain values with an attribute ``key``.
        args: with what :func:`add_job_options` adds.
        console: where progress goes.

    Raises:
        UsageError: a backend is not installed.
        BadImageError: the results file is none.
    """
    kept = KeptResults(args.results)
    wanted = {item.key: item for item in items}
    missing = [item for key, item in wanted.items() if key not in kept]
    if len(missing) < len(wanted):
        console.note(f"{len(wanted) - len(missing)} of {len(wanted)} are there already")
    with Progress(console, "simulating", len(missing)) as progress:
        run = partial(work, progress=progress.within) if _is_here(args) else work
        with closing(results_of(run, missing, args)) as finished:
            for result in finished:
                kept.keep(result)
                progress.step()
    return [kept[item.key] for item in items]


def results_of(
    work: Callable[[Any], dict[str, Any]],
    items: Iterable[Any],
    args: argparse.Namespace,
    *,
    in_order: bool = False,
) -> Generator[dict[str, Any], None, None]:
    """Yield ``work(item)`` of every item as it is finished, or in the items' order.

    Raises:
        UsageError: a backend is not installed.
    """
    if args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: the limit is 1")
    if _is_here(args):
        yield from map(work, items)
        return
    try:
        joblib = import_module("joblib")
        with (
            _backend(args.backend, args.scheduler),
            joblib.parallel_config(backend=args.backend),
        ):
            form = "generator" if in_order else "generator_unordered"
            run = joblib.Parallel(n_jobs=args.jobs, return_as=form)
            yield from run(joblib.delayed(work)(item) for item in items)
    except ImportError as exc:
        raise UsageError(
            f"--backend {args.backend} with --jobs {args.jobs} needs {exc.name}: "
            "install e820pool[sweep], or [cluster] for dask"
        ) from exc


def _is_here(args: argparse.Namespace) -> bool:
    # One job needs no other process or thread.
    return args.jobs == 1 and args.backend in ("loky", "threading")


# A cluster that is there; without an address the one that this machine knows.
def _backend(name: str, scheduler: str | None) -> AbstractContextManager[Any]:
    started: AbstractContextManager[Any] = nullcontext()
    if name == "dask":
        started = import_module("distributed").Client(scheduler)
    elif name == "ray":
        import_module("ray.util.joblib").register_ray()
        started = import_module("ray").init(address=scheduler or "auto")
    return started


def _read(path: str) -> dict[str, dict[str, Any]]:
    import json  # noqa: PLC0415  not needed for --help

    from e820pool.sources.files import read_file  # noqa: PLC0415

    try:
        told = json.loads(read_file(Path(path), empty=True) or b"null")
        kind, rows = told["kind"], told["results"]
        results = {one["key"]: one for one in rows}
    except (KeyError, TypeError, ValueError) as exc:
        raise BadImageError(
            f"{path!r} is no file of kept results: {str(exc)[:60]}"
        ) from exc
    if kind != _KIND:
        raise BadImageError(f"{path!r} is of kind {kind!r}, not {_KIND!r}")
    return results
