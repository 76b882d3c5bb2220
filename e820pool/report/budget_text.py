"""What a budget of entries costs, in words, JSON and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.documents import Document, Pair, document_text
from e820pool.extents import Span
from e820pool.findings import LISTED, Finding, counted
from e820pool.handoff.budget import given_up_ram
from e820pool.report.columns import columns

if TYPE_CHECKING:
    from e820pool.handoff.budget import BudgetCurve
    from e820pool.handoff.model import Handoff

__all__ = (
    "BudgetDocument",
    "budget_csv",
    "budget_findings",
    "budget_json",
    "budget_text",
)

# Less than a kernel's own table holds: it splits RAM for page 0 and two nodes.
_KNOWN = {
    3195: "a kernel's table of 3200, NODES_SHIFT=10",
    2048: "kexec-tools",
    315: "a kernel's table of 320, NODES_SHIFT=6",
    128: "the zero page alone, a kernel's table of 131",
}


class BudgetDocument(Document, frozen=True, kw_only=True, tag="budget"):
    """Every choice that no other beats: ``[entries, bytes given up]``."""

    choices: tuple[Pair, ...]


def budget_findings(handoff: Handoff) -> tuple[Finding, ...]:
    """Return the note on RAM that a handoff gives up, nothing where it gives none."""
    given_up = given_up_ram(handoff)
    if not given_up:
        return ()
    start, end = next(iter(given_up))
    message = (
        f"{given_up.total_bytes} bytes of RAM in {counted(len(given_up), 'range')} "
        "are given up "
        f"so that the table fits, {Span(start, end)} first: not deposited, and "
        "not RAM to the next kernel"
    )
    extents = tuple(given_up.pages_touched())[:LISTED]
    return (Finding(id="given-up", level="note", message=message, extents=extents),)


def budget_text(curve: BudgetCurve, width: int | None = None) -> str:
    """Return what each well-known budget costs, the whole table first.

    ``width`` is what a line has room for, None for any.
    """
    whole, least = int(curve.nr_entries[0]), int(curve.nr_entries[-1])
    budgets = {whole: "the whole table", least: "the least that any choice reaches"}
    for limit, meaning in _KNOWN.items():
        if least <= limit < whole:
            budgets.setdefault(limit, meaning)
    rows = [
        (budget, curve.bytes_for(budget), meaning)
        for budget, meaning in sorted(budgets.items(), reverse=True)
    ]
    headers = ("entries", "bytes given up", "what for")
    return columns(rows, headers, right=(0, 1), width=width)


def budget_json(curve: BudgetCurve) -> str:
    """Return every choice that no other beats, kind ``budget``."""
    pairs = zip(curve.nr_entries.tolist(), curve.given_up_bytes.tolist(), strict=True)
    return document_text(BudgetDocument(choices=tuple(pairs)))


def budget_csv(curve: BudgetCurve) -> str:
    """Return the same as ``entries,given_up_bytes``, a choice a line."""
    pairs = zip(curve.nr_entries.tolist(), curve.given_up_bytes.tolist(), strict=True)
    rows = [f"{entries},{given_up}" for entries, given_up in pairs]
    return "\n".join(("entries,given_up_bytes", *rows)) + "\n"
