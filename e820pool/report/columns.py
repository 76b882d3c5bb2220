"""Rows of cells as text: in columns, or a block a row where there is no room."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ("columns",)

_GAP = "  "
_AROUND = 2  # a column is wider than its headline
_LEAST_ROOM = 24
_PAINT = re.compile(r"\x1b\[[0-9;]*m")


def columns(
    rows: Sequence[Sequence[Any]],
    headers: Sequence[str] = (),
    *,
    right: Collection[int] = (),
    width: int | None = None,
) -> str:
    """Return rows in columns under their headers.

    Where a line is too long, cells of the last column go on below themselves; where
    that leaves them too little room, each row becomes a block: a line for each of its
    cells, with its header.

    Args:
        rows: as many cells each as there are headers, if there are any.
        headers: one a column; without them there is no line of them, and one form.
        right: the columns whose cells end at the same place, counted from 0.
        width: what a line has room for, None for any.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    text = "\n".join(_aligned(cells, headers, right))
    if width is None or not headers or max(map(_shown, text.split("\n"))) <= width:
        return text
    room = width - sum(column + len(_GAP) for column in _widths(cells, headers)[:-1])
    if room >= _least_room(cells, headers):
        return "\n".join(_aligned(list(_folded(cells, room)), headers, right))
    return "\n".join(line for row in cells for line in _block(row, headers))


def _aligned(
    rows: Sequence[Sequence[str]], headers: Sequence[str], right: Collection[int]
) -> Iterator[str]:
    from tabulate import tabulate  # noqa: PLC0415  only where there is a table

    width = len(headers or rows[0])
    aligned = ["right" if at in right else "left" for at in range(width)]
    # Without rows 0.9 has no columns to align.
    table = tabulate(
        rows,
        headers,
        tablefmt="plain",
        disable_numparse=True,
        colalign=aligned if rows else None,
    )
    return (line.rstrip() for line in table.split("\n"))


# As tabulate has them.
def _widths(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> list[int]:
    widths = [len(header) + _AROUND for header in headers]
    for row in rows:
        widths = [max(pair) for pair in zip(widths, map(_shown, row), strict=True)]
    return widths


# No word is broken, and no cell is a tall pile of words.
def _least_room(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> int:
    words = " ".join((headers[-1], *(row[-1] for row in rows))).split()
    return max(_LEAST_ROOM, *map(_shown, words))


def _folded(rows: Sequence[Sequence[str]], room: int) -> Iterator[list[str]]:
    from textwrap import wrap  # noqa: PLC0415  only for people

    for *before, last in rows:
        # What is painted is a word.
        parts = (
            [last] if _shown(last) <= room else wrap(last, room, break_on_hyphens=False)
        )
        yield [*before, parts[0]]
        yield from ([*("" for _ in before), part] for part in parts[1:])


def _block(row: Sequence[str], headers: Sequence[str]) -> Iterator[str]:
    yield f"{headers[0]} {row[0]}"
    for header, cell in zip(headers[1:], row[1:], strict=True):
        yield f"    {header}: {cell}"


# Paint takes no room.
def _shown(text: str) -> int:
    return len(_PAINT.sub("", text)) if "\x1b" in text else len(text)
