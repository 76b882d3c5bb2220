"""Model and machine side by side, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.compat import Judgement, Verdict
from e820pool.compat.documents import VerdictDocument
from e820pool.documents import document_text
from e820pool.report.chapters import VerdictsDocument
from e820pool.report.columns import columns
from e820pool.report.paint import plain
from e820pool.report.verdicts import (
    judged_on_lines,
    painted_verdict,
    told_findings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.report.paint import Paint

__all__ = ("judgements_json", "judgements_text")

_HEADERS = ("kernel", "model", "machine", "differences", "verdict")


def judgements_text(
    found: Sequence[Judgement | Verdict],
    *,
    paint: Paint = plain,
    width: int | None = None,
) -> str:
    """Return a line a kernel, then each finding once; a lone verdict had no boot.

    ``paint`` adds colour to verdicts (:func:`e820pool.report.paint.painter`);
    ``width`` is what a line has room for, None for any.
    """
    rows = [[painted_verdict(cell, paint) for cell in _row(one)] for one in found]
    table = columns(rows, _HEADERS, width=width)
    verdicts = [_verdict(one) for one in found]
    told, known = told_findings(verdicts), judged_on_lines(verdicts)
    return "\n".join(
        [table, *([""] if told else []), *told, *([""] if known else []), *known]
    )


def _verdict(one: Judgement | Verdict) -> Verdict:
    return one.verdict if isinstance(one, Judgement) else one


def _row(one: Judgement | Verdict) -> tuple[str, ...]:
    if not isinstance(one, Judgement):
        return one.kernel, "-", "-", "-", one.verdict
    return (
        one.verdict.kernel,
        one.model.verdict,
        one.machine.verdict,
        ", ".join(item.field for item in one.differences) or "none",
        one.verdict.verdict,
    )


def judgements_json(found: Sequence[Judgement | Verdict]) -> str:
    """Return the JSON twin, kind ``verdicts``, each with both sides where there are."""
    told = (
        VerdictDocument.of(_verdict(one), one if isinstance(one, Judgement) else None)
        for one in found
    )
    return document_text(VerdictsDocument(verdicts=tuple(told)))
