"""A rebuilt pool, or why there is none, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.documents import Count, Document, FindingDocument, document_text
from e820pool.extents import ExtentSet
from e820pool.findings import counted
from e820pool.report.columns import columns
from e820pool.report.verdicts import finding_line
from e820pool.sources.manifest import DepositDocument

if TYPE_CHECKING:
    from e820pool.pool.rebuild import RebuildResult

__all__ = (
    "RebuiltDocument",
    "pool_json",
    "pool_text",
)

_SHOWN = 40


def pool_text(result: RebuildResult) -> str:
    """Return the extents with their owners, then the findings."""
    findings = [finding_line(finding) for finding in result.findings]
    if result.ledger is None:
        return "\n".join(["no pool: refused", *findings])
    rows = [
        (f"{deposit.start_pfn:#x}", deposit.nr_pages, f"{deposit.owner:#x}")
        for deposit in list(result.ledger)[:_SHOWN]
    ]
    table = columns(rows, ("base_pfn", "nr_pages", "owner"), right=(1,))
    more = len(result.ledger) - len(rows)
    head = (
        f"pool: {counted(result.ledger.extents.nr_pages, 'page')} in "
        f"{counted(len(result.ledger), 'extent')} (carrier: {result.carrier}, "
        f"generation {result.generation})"
    )
    return "\n".join([head, table, *([f"... {more} more"] if more else []), *findings])


class RebuiltDocument(Document, frozen=True, kw_only=True, tag="pool"):
    """A rebuilt pool; ``extents`` and ``deposits`` are null where it was refused."""

    extents: ExtentSet | None
    deposits: tuple[DepositDocument, ...] | None
    carrier: str
    generation: Count
    findings: tuple[FindingDocument, ...]


def pool_json(result: RebuildResult) -> str:
    """Return the JSON twin, kind ``pool``."""
    ledger = result.ledger
    return document_text(
        RebuiltDocument(
            extents=None if ledger is None else ledger.extents,
            deposits=None if ledger is None else DepositDocument.all_of(ledger),
            carrier=result.carrier,
            generation=result.generation,
            findings=FindingDocument.all_of(result.findings),
        )
    )
