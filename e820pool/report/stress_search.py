"""Shapes of deposits that kernels were asked about, and the smallest that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.extents import PAGE_SHIFT
from e820pool.report.jsons import document, json_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("search_json", "search_text")


def search_text(found: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a failure with its smallest reproducer, and a line in all."""
    lines = []
    for one in found:
        if one["failure"]:
            deposits = " ".join(
                f"--deposit {base << PAGE_SHIFT:#x}+{count << PAGE_SHIFT:#x}"
                for base, count in one["reproducer"]
            )
            lines.append(f"{one['kernel']}: {one['failure']}: {deposits}")
    failed = len(lines)
    lines.append(f"{len(found)} shapes booted, {failed} not survived")
    return "\n".join(lines)


def search_json(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON twin, kind ``searched-shapes``; reproducers in pages."""
    return json_text(document("searched-shapes", shapes=[dict(one) for one in found]))
