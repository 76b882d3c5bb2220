"""Findings about deposited pages, said the same way everywhere."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from e820pool.findings import LISTED, Finding, Level

if TYPE_CHECKING:
    from e820pool.extents import ExtentSet

__all__ = ("finding_about",)


def finding_about(
    ident: str, level: Level, extents: ExtentSet, message: str, source: str
) -> Finding:
    """Return a finding whose ``message`` has ``{pages}`` where they are named."""
    first = next(iter(extents))[0] if extents else 0
    pages = f"{extents.nr_pages} deposited page(s) from PFN {first:#x}"
    return Finding(
        id=ident,
        level=level,
        message=message.format(pages=pages),
        extents=tuple(islice(extents, LISTED)),
        source=source,
    )
