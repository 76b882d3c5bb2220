"""The bulk form's input: lines of a file, or of standard input, one at a time."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from e820pool.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("bulk_lines",)


@contextmanager
def bulk_lines(path: str) -> Iterator[Iterator[bytes]]:
    """Open the file that ``--jsonl`` names, or ``-``, and give its lines.

    Of a line over the limit only so much is held that its reader refuses it.

    Raises:
        InputError: the file cannot be read.
    """
    if path != "-":
        with _opened(path) as stream:
            yield _lines(stream)
    elif sys.stdin is None:
        raise InputError("standard input is closed: --jsonl - has nothing to read")
    else:
        yield _lines(sys.stdin.buffer)


def _opened(path: str) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise InputError(f"cannot read {path!r}: {reason.lower()}") from exc


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    from e820pool.kernel.jsonl import MAX_LINE_CHARS  # noqa: PLC0415  numpy

    while line := stream.readline(MAX_LINE_CHARS + 1):
        yield line
        while len(line) > MAX_LINE_CHARS and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE_CHARS + 1)
