"""Results of much work, each kept as it is finished, so that a stopped run goes on."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections import deque
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from e820pool.documents import SCHEMA, json_line
from e820pool.errors import BadImageError, InputError
from e820pool.experiments.jobs import JobOptions, results_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ("KeptResults", "finished_results")

_KIND = "kept-results"
_HEAD = json_line({"schema": SCHEMA, "kind": _KIND}).encode() + b"\n"
_BEGINS = b'{"key": '  # as each line below it does
_BLOCK_BYTES = 4096
# A result has a few lines for each kernel.
_LINE_LIMIT = 16 << 20


class KeptResults:
    """Finished results by the key of their question, in a file to which more are added.

    The first line is the head of a JSON document, each further one an object with
    ``key``, ``digest`` and ``result``. A line is whole or not there: what a stopped run
    left of one is cut off. The file is locked while it is open. Without a path nothing
    is kept, and nothing is there.

    Only keys are held in memory: results are read when they are asked for.
    """

    __slots__ = ("_at", "_path", "_stream")

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._stream: IO[bytes] | None = None
        # Where the line of each key begins.
        self._at: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Open, lock and check the file.

        Raises:
            InputError: it cannot be opened, or another run has it.
            BadImageError: it is something else, or a result was edited.
        """
        if self._path is None:
            return self
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(self._path.open("a+b"))
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise InputError(
                    f"{str(self._path)!r} is in use: another run keeps results there"
                ) from exc
            except (OSError, ValueError) as exc:
                reason = (getattr(exc, "strerror", None) or str(exc)).lower()
                raise InputError(f"cannot keep {str(self._path)!r}: {reason}") from exc
            self._read(stream)
            self._cut_torn_line(stream)
            if stream.seek(0, 2) == 0:
                stream.write(_HEAD)
                stream.flush()
            stack.pop_all()  # it stays open
            self._stream = stream
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def __contains__(self, key: str) -> bool:
        return key in self._at

    def __getitem__(self, key: str) -> dict[str, Any]:
        if self._stream is None:
            raise KeyError(key)
        self._stream.seek(self._at[key])
        result: dict[str, Any] = json.loads(self._stream.readline())["result"]
        return result

    def keep(self, key: str, result: dict[str, Any]) -> None:
        """Add one result; it is in the file when this returns."""
        if self._stream is None or key in self._at:
            return
        line = {"key": key, "digest": _digest(key, result), "result": result}
        at = self._stream.seek(0, 2)
        self._stream.write(json_line(line).encode() + b"\n")
        self._stream.flush()
        self._at[key] = at

    def _read(self, stream: IO[bytes]) -> None:
        stream.seek(0)
        at = number = 0
        while line := stream.readline(_LINE_LIMIT + 1):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) > _LINE_LIMIT:
                    raise self._refusal(f"line {number} has more than {_LINE_LIMIT:#x}")
                return
            self._read_line(line, number, at)
            at += len(line)

    def _read_line(self, line: bytes, number: int, at: int) -> None:
        try:
            value = json.loads(line)
            if number == 1 and (value["kind"], value["schema"]) == (_KIND, SCHEMA):
                return
            key, digest, result = value["key"], value["digest"], value["result"]
            is_whole = number > 1 and digest == _digest(key, result)
        except (KeyError, TypeError, ValueError, RecursionError) as exc:
            raise self._refusal(f"line {number} is {line[:40]!r}") from exc
        if not is_whole or not isinstance(result, dict):
            raise BadImageError(
                f"{str(self._path)!r} line {number}: the result is not as it was "
                "written: remove the file, or take it back from a copy"
            )
        self._at[key] = at

    def _refusal(self, reason: str) -> BadImageError:
        return BadImageError(
            f"{str(self._path)!r} is not a file of kept results: {reason}"
        )

    def _cut_torn_line(self, stream: IO[bytes]) -> None:
        end = whole = stream.seek(0, 2)
        while whole:
            start = max(whole - _BLOCK_BYTES, 0)
            stream.seek(start)
            newline = stream.read(whole - start).rfind(b"\n")
            if newline >= 0:
                whole = start + newline + 1
                break
            whole = start
        if whole == end:
            return
        # Only of a result: what else is there is not ours to cut.
        begin = _BEGINS if whole else _HEAD
        stream.seek(whole)
        torn = stream.read(len(begin))
        if not begin.startswith(torn):
            raise self._refusal(f"it ends with {torn!r}")
        stream.truncate(whole)


def finished_results(
    work: Callable[..., dict[str, Any]],
    items: Iterable[Any],
    options: JobOptions,
    kept: KeptResults,
    *,
    in_order: bool = False,
    within: Callable[[float], None] | None = None,
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield each item with its result: a kept one, or what ``work`` makes of it.

    A result is kept before it is given, and only for the question that the item's key
    names. Only as many items are read ahead as workers are busy with.

    Args:
        work: a function of a module, so that other processes can import it.
        items: plain values with an attribute ``key``, which names all that the result
            depends on.
        options: where it runs.
        kept: where results are.
        in_order: whether results come in the order of the items. Without that one is
            kept as soon as it is finished.
        within: for work in this process its argument ``progress``: called with the
            share of an item that is done.

    Raises:
        MachineError: a backend is not installed, or its cluster is not there.
    """
    ahead: deque[tuple[Any, bool]] = deque()

    def missing() -> Iterator[Any]:
        for item in items:
            is_kept = item.key in kept
            if in_order or is_kept:
                ahead.append((item, is_kept))
            if not is_kept:
                yield item

    def kept_so_far() -> Iterator[tuple[Any, dict[str, Any]]]:
        while ahead and ahead[0][1]:
            item, _ = ahead.popleft()
            yield item, kept[item.key]

    if within is not None and options.is_here:
        work = partial(work, progress=within)
    run = partial(_with_item, work)
    with closing(results_of(run, missing(), options, in_order=in_order)) as answers:
        for answer in answers:
            yield from kept_so_far()
            if in_order:
                ahead.popleft()
            item, result = answer["item"], answer["result"]
            kept.keep(item.key, result)
            yield item, result
    yield from kept_so_far()


def _with_item(work: Callable[[Any], dict[str, Any]], item: Any) -> dict[str, Any]:
    return {"item": item, "result": work(item)}


# A result that was edited, or that stands beside another's key, is not believed.
def _digest(key: str, result: Any) -> str:
    raw = json.dumps([key, result], sort_keys=True)
    return hashlib.sha256(raw.encode()).hexdigest()[:24]
