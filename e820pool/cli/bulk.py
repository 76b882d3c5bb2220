"""The bulk form: lines of a file or of standard input, and check's verdict on each."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.progress import Progress
from e820pool.errors import InputError
from e820pool.sources.files import validate_skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.cli.console import Console

__all__ = ("bulk_lines", "check_jsonl")


@contextmanager
def bulk_lines(path: str, console: Console) -> Iterator[Iterator[bytes]]:
    """Open the file that ``--jsonl`` names, or ``-``, and give its lines.

    Of a line over the limit only so much is held that its reader refuses it. How
    much of a file is read is the progress of the command.

    Raises:
        InputError: the file cannot be read.
    """
    if path != "-":
        with _opened(path) as stream, _progress(stream, console) as progress:
            yield _lines(stream, progress)
    elif sys.stdin is None:
        raise InputError("standard input is closed: --jsonl - has nothing to read")
    else:
        stream = sys.stdin.buffer
        with _progress(stream, console) as progress:
            yield _lines(stream, progress)


# Of a pipe nobody knows how much will come.
def _progress(stream: IO[bytes], console: Console) -> Progress:
    size = None
    with suppress(OSError, ValueError):
        info = os.fstat(stream.fileno())
        size = info.st_size if stat.S_ISREG(info.st_mode) else None
    return Progress(console, "reading records", size, streams=True)


def _opened(path: str) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise InputError(f"cannot read {path!r}: {reason.lower()}") from exc


def _lines(stream: IO[bytes], progress: Progress) -> Iterator[bytes]:
    from e820pool.kernel.jsonl import MAX_LINE_CHARS  # noqa: PLC0415  numpy

    is_empty = True
    while line := stream.readline(MAX_LINE_CHARS + 1):
        is_empty = False
        yield line
        progress.step(len(line))
        skipped = 0
        while len(line) > MAX_LINE_CHARS and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE_CHARS + 1)
            progress.step(len(line))
            skipped += len(line)
            validate_skipped(skipped)
    if is_empty:
        raise InputError("--jsonl has no record: an answer to nothing is none")


def check_jsonl(path: str, console: Console, fail_on: str) -> int:
    """Judge each record of a stream; the worst verdict decides the status.

    A line that cannot be read has no verdict.
    """
    from e820pool.compat.jsonl import check_line  # noqa: PLC0415  numpy
    from e820pool.kernel.jsonl import encode_line  # noqa: PLC0415

    words: set[str] = set()
    with bulk_lines(path, console) as lines:
        for line in lines:
            answer = check_line(line)
            words.add(answer.get("verdict", "unknown"))
            console.line(encode_line(answer))
    return status.status_of_verdicts(words, fail_on)
