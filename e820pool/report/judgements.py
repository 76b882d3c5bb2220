"""Model and machine side by side, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.compat import Judgement, Verdict
from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.documents import document_text
from e820pool.report.chapters import VerdictsDocument
from e820pool.report.columns import columns
from e820pool.report.paint import plain
from e820pool.report.verdicts import painted_verdict, with_findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.report.paint import Paint

__all__ = ("judgements_json", "judgements_text")

_HEADERS = ("kernel", "model", "machine", "differences", "verdict")


def judgements_text(
    judgements: Sequence[Judgement | Verdict],
    *,
    paint: Paint = plain,
    width: int | None = None,
) -> str:
    """Return a line a kernel, then each finding once; a lone verdict had no boot.

    ``paint`` adds colour to verdicts (:func:`e820pool.report.paint.painter`);
    ``width`` is what a line has room for, None for any.
    """
    rows = [
        [painted_verdict(cell, paint) for cell in _row(judgement)]
        for judgement in judgements
    ]
    verdicts = [j.verdict if isinstance(j, Judgement) else j for j in judgements]
    return with_findings(columns(rows, _HEADERS, width=width), verdicts)


def _row(judgement: Judgement | Verdict) -> tuple[str, ...]:
    if not isinstance(judgement, Judgement):
        return judgement.kernel, "-", "-", "-", judgement.verdict
    return (
        judgement.verdict.kernel,
        judgement.model.verdict,
        judgement.machine.verdict,
        ", ".join(difference.field for difference in judgement.differences) or "none",
        judgement.verdict.verdict,
    )


def judgements_json(judgements: Sequence[Judgement | Verdict]) -> str:
    """Return the JSON twin, kind ``verdicts``, each with both sides where there are."""
    verdicts = tuple(
        VerdictDocument.of(judgement.verdict, judgement)
        if isinstance(judgement, Judgement)
        else VerdictDocument.of(judgement)
        for judgement in judgements
    )
    return document_text(VerdictsDocument(verdicts=verdicts))
