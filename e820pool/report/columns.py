"""Rows of cells as text: in columns, or a block a row where those are too wide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ("columns",)

_GAP = "  "
_AROUND = 2  # a column is wider than its headline
_PAINT = re.compile(r"\x1b\[[0-9;]*m")


def columns(
    rows: Sequence[Sequence[Any]],
    headers: Sequence[str] = (),
    *,
    right: Collection[int] = (),
    width: int | None = None,
) -> str:
    """Return rows in columns under their headers, or a block of lines a row.

    Args:
        rows: as many cells each as there are headers, if there are any.
        headers: one a column; without them there is no line of them, and no block.
        right: the columns whose cells end at the same place, counted from 0.
        width: what a line has room for, None for any. Where one is longer, each row
            becomes its first cell and a line for each of the others, with its header.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    found = "\n".join(_aligned(cells, headers, right))
    if width is None or not headers or _longest(found) <= width:
        return found
    return "\n".join(line for row in cells for line in _block(row, headers))


def _aligned(
    rows: Sequence[Sequence[str]], headers: Sequence[str], right: Collection[int]
) -> Iterator[str]:
    widths = [len(header) + _AROUND for header in headers] or [0] * len(rows[0])
    for row in rows:
        widths = [max(one) for one in zip(widths, map(_shown, row), strict=True)]
    for row in (*([headers] if headers else []), *rows):
        padded = (
            _padded(cell, widths[at], is_right=at in right)
            for at, cell in enumerate(row)
        )
        yield _GAP.join(padded).rstrip()


def _padded(cell: str, width: int, *, is_right: bool) -> str:
    blanks = " " * (width - _shown(cell))
    return blanks + cell if is_right else cell + blanks


def _block(row: Sequence[str], headers: Sequence[str]) -> Iterator[str]:
    yield row[0]
    for header, cell in zip(headers[1:], row[1:], strict=True):
        yield f"    {header} {cell}"


def _longest(text: str) -> int:
    return max(map(_shown, text.split("\n")))


# Paint takes no room.
def _shown(text: str) -> int:
    return len(_PAINT.sub("", text)) if "\x1b" in text else len(text)
