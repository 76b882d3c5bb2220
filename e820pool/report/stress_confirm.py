"""Limits that real kernels were asked about, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from e820pool.report.jsons import document, json_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("confirm_json", "confirm_text")


def confirm_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a row a boot: what model and machine lose, and the time to user space."""
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
    return tabulate(table, headers=headers, tablefmt="plain", disable_numparse=True)


def confirm_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON twin, kind ``confirmed-limits``."""
    return json_text(document("confirmed-limits", boots=[dict(row) for row in rows]))


def _losses(ids: Sequence[str], error: str) -> str:
    return "?" if error else ", ".join(ids) or "nothing lost"


def _agreement(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"no verdict: {row['error']}"
    return "yes" if row["agree"] else " ".join(("NO", *row["differs"]))
