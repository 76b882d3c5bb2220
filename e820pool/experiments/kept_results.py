"""Results of much work, each kept as it is finished, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from e820pool.errors import BadImageError, InputError
from e820pool.experiments.jobs import results_of
from e820pool.report.files import write_file
from e820pool.report.jsons import document, json_line, json_text
from e820pool.sources.files import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from e820pool.experiments.jobs import JobOptions

__all__ = ("FinishedLines", "KeptResults", "run_missing", "stream_missing")

_KIND = "kept-results"
# Times that a write took pass before the next one.
_PAUSE = 19

_NO_ANSWERS = "no file of kept answers"
_BEGINS = b'{"id": '  # as each line that is kept does


class KeptResults:
    """Finished results by key, in a file that is whole at every moment.

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
        rows = list(self._results.values())
        digests = {key: _digest(row) for key, row in self._results.items()}
        told = document(_KIND, results=rows, digests=digests)
        write_file(str(self._path), json_text(told))
        self._unwritten = False


def run_missing(
    work: Callable[..., dict[str, Any]],
    items: Sequence[Any],
    options: JobOptions,
    kept: KeptResults,
    *,
    within: Callable[[float], None] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """Yield ``work(item)`` of every item without a kept result, as it is finished.

    Args:
        work: a function of a module, so that other processes can import it; in this
            one its ``progress`` is ``within``.
        items: plain values with an attribute ``key``.
        options: where it runs.
        kept: where each result is kept before it is given.
        within: called with the share of an item that is done.

    Raises:
        MachineError: a backend is not installed, or its cluster is not there.
    """
    missing = list({item.key: item for item in items if item.key not in kept}.values())
    run = partial(work, progress=within) if options.is_here else work
    with closing(results_of(run, missing, options)) as finished:
        for result in finished:
            kept.keep(result)
            yield result


def _read(path: str) -> dict[str, dict[str, Any]]:
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
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:24]


class FinishedLines:
    """A file of finished answers, a JSON object a line, to which more are added.

    A line is whole or not there: what a stopped run left of one is cut off. Without
    a path nothing is kept.
    """

    __slots__ = ("_ids", "_path", "_stream")

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._stream: IO[bytes] | None = None
        self._ids: set[str] = set()

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(self._path.open("a+b"))
                self._cut_torn_line(stream)
            except OSError as exc:
                reason = (exc.strerror or str(exc)).lower()
                raise InputError(f"cannot keep {str(self._path)!r}: {reason}") from exc
            stack.pop_all()  # it stays open
            self._stream = stream
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def __contains__(self, ident: str) -> bool:
        return ident in self._ids

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield what is there already, and remember its ids."""
        if self._path is None:
            return
        with self._path.open("rb") as stream:
            for line in stream:
                try:
                    answer = json.loads(line)
                    self._ids.add(answer["id"])
                except (KeyError, TypeError, ValueError, RecursionError) as exc:
                    raise BadImageError(
                        f"{str(self._path)!r} is {_NO_ANSWERS}: {line[:40]!r}"
                    ) from exc
                yield answer

    def keep(self, answer: dict[str, Any]) -> None:
        """Add one answer; it is in the file when this returns."""
        if self._stream is not None:
            self._stream.write(json_line(answer).encode() + b"\n")
            self._stream.flush()

    def _cut_torn_line(self, stream: IO[bytes]) -> None:
        end = stream.seek(0, 2)
        whole = end
        while whole:
            start = max(whole - 4096, 0)
            stream.seek(start)
            found = stream.read(whole - start).rfind(b"\n")
            if found >= 0:
                whole = start + found + 1
                break
            whole = start
        if whole == end:
            return
        # Only of an answer: what else is there is not ours to cut.
        stream.seek(whole)
        torn = stream.read(len(_BEGINS))
        if torn != _BEGINS[: len(torn)]:
            raise BadImageError(f"{str(self._path)!r} is {_NO_ANSWERS}: {torn!r}")
        stream.truncate(whole)


def stream_missing(
    work: Callable[[Any], dict[str, Any]],
    items: Iterable[Any],
    options: JobOptions,
    finished: FinishedLines,
) -> Iterator[dict[str, Any]]:
    """Yield the answers that are kept, then those of all other items, in order.

    Only as many items are read ahead as processes are busy with.

    Args:
        work: a function of a module, so that other processes can import it.
        items: with an attribute ``id``.
        options: where it runs.
        finished: where answers are kept.

    Raises:
        MachineError: a backend is not installed, or its cluster is not there.
        BadImageError: the file of kept answers is none.
    """
    yield from finished.answers()
    missing = (item for item in items if item.id not in finished)
    with closing(results_of(work, missing, options, in_order=True)) as answers:
        for answer in answers:
            finished.keep(answer)
            yield answer
