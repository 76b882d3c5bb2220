"""Lines of plain ASCII that no mail program breaks."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ("WIDTH", "headline", "plain", "section", "table", "wrapped")

WIDTH = 72
"""Columns; a reply quotes them twice within 80."""

_GAP = "  "


def plain(text: str) -> str:
    """Return a text as ASCII on one line; other letters are written as escapes."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown.encode("ascii", "backslashreplace").decode("ascii")


def wrapped(text: str, first: str = "", further: str | None = None) -> list[str]:
    """Return a text as lines; ``first`` and ``further`` stand before them."""
    return textwrap.wrap(
        plain(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if further is None else further,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def headline(text: str) -> list[str]:
    """Return a title, underlined."""
    lines = wrapped(text)
    return [*lines, "=" * max(len(line) for line in lines)]


def section(title: str, lines: Iterable[str]) -> list[str]:
    """Return lines under a title, indented by nothing, with a blank line before."""
    return ["", title, "-" * len(title), *lines]


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1
) -> list[str]:
    """Return a table; where it is too wide, several under each other.

    Args:
        headers: of the columns.
        rows: as many cells each.
        keys: so many first columns stand in each of the tables. A column that does
            not fit beside them has a paragraph a row instead.
    """
    cells = [[plain(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(headers))]
    lines: list[str] = []
    for group in _groups(widths, keys):
        picked = [*range(keys), *group]
        shown = [[row[at] for at in picked] for row in cells]
        if _width(widths[at] for at in picked) <= WIDTH:
            block = [_joined(row, [widths[at] for at in picked]) for row in shown]
        else:
            block = list(_paragraphs(shown[0], shown[1:]))
        lines += ["", *block] if lines else block
    return lines


def _groups(widths: Sequence[int], keys: int) -> Iterator[list[int]]:
    # As many columns as fit beside the keys.
    group: list[int] = []
    for at in range(keys, len(widths)):
        picked = [*range(keys), *group, at]
        if group and _width(widths[column] for column in picked) > WIDTH:
            yield group
            group = []
        group.append(at)
    yield group


def _width(widths: Iterable[int]) -> int:
    shown = list(widths)
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return _GAP.join(padded).rstrip()


def _paragraphs(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield from wrapped(row[0])
        cells = (f"{head} {cell}" for head, cell in zip(headers, row, strict=True))
        yield from wrapped("; ".join(list(cells)[1:]), "    ")
