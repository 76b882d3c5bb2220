"""Shapes of deposits that kernels were asked about, and the smallest that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.documents import Count, Document, Pair, Part, document_text, value_to
from e820pool.extents import PAGE_SHIFT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = (
    "SearchedShape",
    "SearchedShapes",
    "search_json",
    "search_text",
)


class SearchedShape(Part, frozen=True, kw_only=True):
    """A shape, see :class:`e820pool.stress.search.Shape`, and what a kernel made of it.

    ``failure`` is "" where it survived; ``reproducer`` are the fewest deposits that
    fail in the same way.
    """

    kernel: str
    number: Count
    first_pfn: Count
    nr_deposits: Count
    nr_pages: Count
    gap: Count
    failure: str
    reproducer: tuple[Pair, ...]


class SearchedShapes(Document, frozen=True, kw_only=True, tag="searched-shapes"):
    """Shapes of deposits that kernels were asked about."""

    shapes: tuple[SearchedShape, ...]


def search_text(shapes: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a failure with its smallest reproducer, and a line in all."""
    lines = []
    for shape in shapes:
        if shape["failure"]:
            deposits = " ".join(
                f"--deposit {base << PAGE_SHIFT:#x}+{count << PAGE_SHIFT:#x}"
                for base, count in shape["reproducer"]
            )
            lines.append(f"{shape['kernel']}: {shape['failure']}: {deposits}")
    lines.append(f"{len(shapes)} shapes booted, {len(lines)} not survived")
    return "\n".join(lines)


def search_json(shapes: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON twin, kind ``searched-shapes``; reproducers in pages."""
    rows = tuple(value_to(SearchedShape, dict(shape), "a shape") for shape in shapes)
    return document_text(SearchedShapes(shapes=rows))
