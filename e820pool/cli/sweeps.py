"""Run many cells with progress, each result kept as it is finished."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from e820pool.cli.backends import is_here, results_of
from e820pool.cli.progress import Progress
from e820pool.errors import BadImageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from e820pool.cli.console import Console

__all__ = (
    "KeptResults",
    "run_all",
)

_KIND = "kept-results"
# Times that a write took pass before the next one.
_PAUSE = 19


class KeptResults:
    """Hold finished results by key, in a file that is whole at every moment.

    A context: the file is written as results come, but never so often that writing
    takes more than a twentieth of the time, and at the end in any case. Without a
    path nothing is kept beyond the process.
    """

    __slots__ = ("_cost", "_path", "_results", "_unwritten", "_written")

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._results: dict[str, dict[str, Any]] = {}
        self._written = self._cost = 0.0
        self._unwritten = False
        if path is not None and Path(path).exists():
            self._results = _read(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._unwritten:
            self._write()

    def __contains__(self, key: str) -> bool:
        return key in self._results

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._results[key]

    def keep(self, result: dict[str, Any]) -> None:
        """Add one result; it is in the file soon, and at the end at the latest."""
        self._results[result["key"]] = result
        self._unwritten = self._path is not None
        now = time.monotonic()
        if self._unwritten and now - self._written >= _PAUSE * self._cost:
            self._write()
            self._written = time.monotonic()
            self._cost = self._written - now

    def _write(self) -> None:
        from e820pool.report.files import write_file  # noqa: PLC0415  on use
        from e820pool.report.jsons import document, json_text  # noqa: PLC0415

        rows = list(self._results.values())
        digests = {key: _digest(row) for key, row in self._results.items()}
        told = document(_KIND, results=rows, digests=digests)
        write_file(str(self._path), json_text(told))
        self._unwritten = False


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
        args: with what :func:`e820pool.cli.backends.add_job_options` adds.
        console: where progress goes.

    Raises:
        UsageError: a backend is not installed, or its cluster is not there.
        BadImageError: the results file is none.
    """
    kept = KeptResults(args.results)
    wanted = {item.key: item for item in items}
    missing = [item for key, item in wanted.items() if key not in kept]
    if len(missing) < len(wanted):
        console.note(f"{len(wanted) - len(missing)} of {len(wanted)} are there already")
    with kept, Progress(console, "simulating", len(missing)) as progress:
        run = partial(work, progress=progress.within) if is_here(args) else work
        with closing(results_of(run, missing, args)) as finished:
            for result in finished:
                kept.keep(result)
                progress.step()
    return [kept[item.key] for item in items]


def _read(path: str) -> dict[str, dict[str, Any]]:
    import json  # noqa: PLC0415  not needed for --help

    from e820pool.sources.files import read_file  # noqa: PLC0415

    try:
        told = json.loads(read_file(Path(path), empty=True) or b"null")
        kind, rows = told["kind"], told["results"]
        results = {one["key"]: one for one in rows}
        digests = told["digests"] if rows else {}
        changed = [k for k, one in results.items() if digests.get(k) != _digest(one)]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
        raise BadImageError(
            f"{path!r} is no file of kept results: {str(exc)[:60]}"
        ) from exc
    if kind != _KIND:
        raise BadImageError(f"{path!r} is of kind {kind!r}, not {_KIND!r}")
    if changed:
        raise BadImageError(
            f"{path!r}: result {changed[0]} is not as it was written: remove the file, "
            "or take it back from a copy"
        )
    return results


# A row that was edited is neither believed nor taken for one of another version.
def _digest(row: dict[str, Any]) -> str:
    import hashlib  # noqa: PLC0415  not needed for --help
    import json  # noqa: PLC0415

    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:24]
