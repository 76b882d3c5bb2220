"""check --jsonl: a verdict a line, for fleets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.bulk import bulk_lines

if TYPE_CHECKING:
    from e820pool.cli.console import Console

__all__ = ("check_jsonl",)


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
