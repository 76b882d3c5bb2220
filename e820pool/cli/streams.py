"""Run a stream of items on local cores or a cluster; keep finished lines, resumable."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from e820pool.cli.backends import results_of
from e820pool.errors import BadImageError, InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

__all__ = ("FinishedLines", "stream_all")

_NO_ANSWERS = "no file of kept answers"
_BEGINS = b'{"id": '  # as each line that is kept does


class FinishedLines:
    """Hold a file of finished answers, a JSON object a line, and add to it.

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
        import json  # noqa: PLC0415  not needed for --help

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
        from e820pool.report.jsons import json_line  # noqa: PLC0415  on use

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


def stream_all(
    work: Callable[[Any], dict[str, Any]],
    items: Iterable[Any],
    args: argparse.Namespace,
    finished: FinishedLines,
) -> Iterator[dict[str, Any]]:
    """Yield the answers that are kept, then those of all other items, in order.

    Only as many items are read ahead as processes are busy with.

    Args:
        work: a function of a module, so that other processes can import it.
        items: with an attribute ``id``.
        args: with what :func:`e820pool.cli.backends.add_job_options` adds.
        finished: where answers are kept.

    Raises:
        UsageError: a backend is not installed, or its cluster is not there.
        BadImageError: the file of kept answers is none.
    """
    yield from finished.answers()
    missing = (item for item in items if item.id not in finished)
    with closing(results_of(work, missing, args, in_order=True)) as answers:
        for answer in answers:
            finished.keep(answer)
            yield answer
