"""Limits that real kernels were asked about, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.documents import Count, Document, Part, Quantity, document_text, value_to
from e820pool.report.columns import columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = (
    "ConfirmedBoot",
    "ConfirmedLimits",
    "confirm_json",
    "confirm_text",
)


class ConfirmedBoot(Part, frozen=True, kw_only=True):
    """A boot at a limit: what model and machine lose, and whether they agree.

    ``count`` of ``of`` were handed over in ``entries`` entries; ``agree`` is null, and
    ``error`` says why, where there is no answer; ``seconds`` is to user space.
    """

    kernel: str
    limit: str
    where: str
    count: Count
    of: str
    entries: Count
    model: tuple[str, ...]
    machine: tuple[str, ...]
    agree: bool | None
    differs: tuple[str, ...]
    seconds: Quantity | None
    error: str


class ConfirmedLimits(Document, frozen=True, kw_only=True, tag="confirmed-limits"):
    """Limits that real kernels were asked about, a boot each."""

    boots: tuple[ConfirmedBoot, ...]


def confirm_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Return a row a boot: what model and machine lose, and the time to user space.

    ``width`` is what a line has room for, None for any.
    """
    table = [
        (
            row["kernel"],
            row["limit"],
            row["where"],
            f"{row['count']} {row['of']}" if row["count"] else "-",
            _losses(row["model"], row["error"]),
            _losses(row["machine"], row["error"]),
            "-" if row["seconds"] is None else f"{row['seconds']:g} s",
            _agreement(row),
        )
        for row in rows
    ]
    headers = ("kernel", "limit", "where", "count", "model", "machine", "boot", "agree")
    return columns(table, headers, width=width)


def confirm_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON twin, kind ``confirmed-limits``."""
    boots = tuple(value_to(ConfirmedBoot, dict(row), "a boot") for row in rows)
    return document_text(ConfirmedLimits(boots=boots))


def _losses(ids: Sequence[str], error: str) -> str:
    return "?" if error else ", ".join(ids) or "nothing lost"


def _agreement(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"no verdict: {row['error']}"
    return "yes" if row["agree"] else " ".join(("NO", *row["differs"]))
