"""Encodings against kernels as tables and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.compat.documents import VerdictDocument
from e820pool.documents import document_text
from e820pool.findings import counted
from e820pool.report.chapters import (
    BootedDocument,
    CellDocument,
    ComparisonDocument,
    EncodingDocument,
)
from e820pool.report.columns import columns
from e820pool.report.costs import cost_table
from e820pool.report.verdicts import judged_on_lines

if TYPE_CHECKING:
    from e820pool.compat import Verdict
    from e820pool.report.compare_model import Booted, CompareCell, Comparison

__all__ = ("cell_word", "compare_json", "compare_text")

_LOADERS = ("kexec-load", "kexec-file")


def compare_text(comparison: Comparison, width: int | None = None) -> str:
    """Return the verdicts, what each encoding costs and keeps, and what differs.

    ``width`` is what a line has room for, None for any.
    """
    parts = [_verdicts(comparison, width), *_unbuilt(comparison)]
    parts += [_costs(_document(comparison), width), *_disagreements(comparison)]
    return "\n\n".join([*parts, *_judged_on(comparison)])


def compare_json(comparison: Comparison) -> str:
    """Return the JSON twin, kind ``comparison``."""
    return document_text(_document(comparison))


def _document(comparison: Comparison) -> ComparisonDocument:
    return ComparisonDocument(
        kernels=comparison.kernels,
        encodings=tuple(
            EncodingDocument(name=name, meaning=comparison.meanings[name])
            for name in comparison.encodings
        ),
        nr_deposits=comparison.nr_deposits,
        nr_deposited_pages=comparison.nr_deposited,
        cells=tuple(_cell_document(cell) for cell in comparison.cells),
        model_foresaw_all=not comparison.disagreements,
    )


def cell_word(cell: CompareCell) -> str:
    """Return a cell in a word or two: the model's verdict, and pages seen touched."""
    if cell.model.verdict is None:
        return "no handoff"
    word = cell.model.verdict.verdict
    if cell.booted is None:
        return word
    if cell.booted.failure:
        return f"{word}/lost"
    mark = "" if cell.booted.agrees else "?"
    return f"{word}/{cell.booted.nr_touched}{mark}"


def _verdicts(comparison: Comparison, width: int | None) -> str:
    rows = [
        [name, *(cell_word(cell) for cell in comparison.row(name))]
        for name in comparison.encodings
    ]
    table = columns(rows, ["encoding", *comparison.kernels], width=width)
    pages = (
        f"{counted(comparison.nr_deposited, 'page')} in "
        f"{counted(comparison.nr_deposits, 'deposit')}"
    )
    legend = "verdict of the model"
    if comparison.is_booted:
        legend += "/deposited pages that the real kernel touched"
    return f"{pages}; {legend}\n{table}"


# Of one kernel the encodings may differ in what was assumed for them.
def _judged_on(comparison: Comparison) -> list[str]:
    verdicts = [cell.model.verdict for cell in comparison.cells]
    lines = judged_on_lines([verdict for verdict in verdicts if verdict is not None])
    return ["\n".join(lines)] if lines else []


def _costs(document: ComparisonDocument, width: int | None) -> str:
    headers, rows = cost_table(document, _LOADERS)
    legend = (
        "entries of the table, bytes of command line, RAM neither deposited nor used: "
        "at most;\nkernels on which the pool is rebuilt; kernels from which a kexec "
        "keeps the deposits\nout of RAM though nobody tells it of them"
    )
    return f"{legend}\n{columns(rows, headers, width=width)}"


# A reason once for each encoding, however many kernels it holds for.
def _unbuilt(comparison: Comparison) -> list[str]:
    reasons = {
        f"{cell.model.encoding}: {cell.model.reason}": None
        for cell in comparison.cells
        if cell.model.verdict is None
    }
    return ["\n".join(["no handoff:", *reasons])] if reasons else []


def _disagreements(comparison: Comparison) -> list[str]:
    lines = []
    for cell in comparison.disagreements:
        where = f"{cell.model.encoding} on {cell.model.kernel}"
        if cell.booted is not None:
            lines += [f"{where}: {why}" for why in _reasons(cell.booted)]
    return ["\n".join(["model and machine differ:", *lines])] if lines else []


def _reasons(booted: Booted) -> list[str]:
    reasons = [reason for reason in (booted.failure, booted.contradiction) if reason]
    return reasons + [
        f"{difference.field}: {difference.one}; {difference.other}"
        for difference in booted.differences
    ]


def _cell_document(cell: CompareCell) -> CellDocument:
    model = cell.model
    return CellDocument(
        encoding=model.encoding,
        kernel=model.kernel,
        verdict=_verdict_document(model.verdict),
        reason=model.reason or None,
        nr_entries=model.nr_entries,
        nr_words_bytes=model.nr_words_bytes,
        wasted_bytes=model.wasted_bytes,
        rebuildable=model.is_rebuildable,
        survives=dict(model.survives),
        booted=None if cell.booted is None else _booted_document(cell.booted),
    )


def _booted_document(booted: Booted) -> BootedDocument:
    return BootedDocument(
        kernel=booted.kernel,
        verdict=_verdict_document(booted.verdict),
        nr_touched=booted.nr_touched,
        agrees=booted.agrees,
        reasons=tuple(_reasons(booted)),
    )


def _verdict_document(verdict: Verdict | None) -> VerdictDocument | None:
    return None if verdict is None else VerdictDocument.of(verdict)
