"""Rows of cells as text: in columns, or a block a row where those are too wide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ("columns",)

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


# tabulate is imported here: it costs 20 ms, and not every command prints a table.
def _aligned(
    rows: Sequence[Sequence[str]], headers: Sequence[str], right: Collection[int]
) -> Iterator[str]:
    from tabulate import tabulate  # noqa: PLC0415

    sides = ["right" if at in right else "left" for at in range(len(headers))]
    found = tabulate(
        rows, headers, "plain", colalign=sides if rows else (), disable_numparse=True
    )
    return map(str.rstrip, found.split("\n"))


def _block(row: Sequence[str], headers: Sequence[str]) -> Iterator[str]:
    yield row[0]
    for header, cell in zip(headers[1:], row[1:], strict=True):
        yield f"    {header} {cell}"


def _longest(text: str) -> int:
    return max(map(_shown, text.split("\n")))


# Paint takes no room.
def _shown(text: str) -> int:
    return len(_PAINT.sub("", text)) if "\x1b" in text else len(text)
