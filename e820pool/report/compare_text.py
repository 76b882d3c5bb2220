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
from e820pool.report.table import human_size
from e820pool.report.verdicts import judged_on_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e820pool.compat import Verdict
    from e820pool.report.compare_model import Booted, CompareCell, Comparison

__all__ = ("cell_word", "compare_json", "compare_text")

_LOADERS = ("kexec-load", "kexec-file")


def compare_text(found: Comparison, width: int | None = None) -> str:
    """Return the verdicts, what each encoding costs and keeps, and what differs.

    ``width`` is what a line has room for, None for any.
    """
    parts = [_verdicts(found, width), *_unbuilt(found), _costs(found, width)]
    parts += _disagreements(found)
    return "\n\n".join([*parts, *_judged_on(found)])


def compare_json(found: Comparison) -> str:
    """Return the JSON twin, kind ``comparison``."""
    return document_text(
        ComparisonDocument(
            kernels=found.kernels,
            encodings=tuple(
                EncodingDocument(name=name, meaning=found.meanings[name])
                for name in found.encodings
            ),
            nr_deposits=found.nr_deposits,
            nr_deposited_pages=found.nr_deposited,
            cells=tuple(_cell_document(cell) for cell in found.cells),
            model_foresaw_all=not found.disagreements,
        )
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


def _verdicts(found: Comparison, width: int | None) -> str:
    rows = [
        [name, *(cell_word(cell) for cell in found.row(name))]
        for name in found.encodings
    ]
    table = columns(rows, ["encoding", *found.kernels], width=width)
    pages = (
        f"{counted(found.nr_deposited, 'page')} in "
        f"{counted(found.nr_deposits, 'deposit')}"
    )
    said = "verdict of the model"
    if found.is_booted:
        said += "/deposited pages that the real kernel touched"
    return f"{pages}; {said}\n{table}"


# Of one kernel the encodings may differ in what was assumed for them.
def _judged_on(found: Comparison) -> list[str]:
    verdicts = [cell.model.verdict for cell in found.cells]
    lines = judged_on_lines([one for one in verdicts if one is not None])
    return ["\n".join(lines)] if lines else []


def _costs(found: Comparison, width: int | None) -> str:
    headers = ["encoding", "entries", "words", "wasted", "pool", *_LOADERS]
    rows = [_cost_row(name, found.row(name)) for name in found.encodings]
    legend = (
        "entries of the table, bytes of command line, RAM neither deposited nor used: "
        "at most;\nkernels on which the pool is rebuilt; kernels from which a kexec "
        "keeps the deposits\nout of RAM though nobody tells it of them"
    )
    return f"{legend}\n{columns(rows, headers, width=width)}"


def _cost_row(name: str, cells: Sequence[CompareCell]) -> list[str]:
    built = [cell.model for cell in cells if cell.model.verdict is not None]
    if not built:
        return [name, "-", "-", "-", "-", *("-" for _ in _LOADERS)]
    entries = sorted({one.nr_entries for one in built})
    return [
        name,
        str(entries[-1]),
        str(max(one.nr_words_bytes for one in built)),
        human_size(max(one.wasted_bytes for one in built)),
        _share(one.is_rebuildable for one in built),
        *(_share(one.survives.get(loader) for one in built) for loader in _LOADERS),
    ]


def _share(answers: Iterable[bool | None]) -> str:
    known = [answer for answer in answers if answer is not None]
    return f"{sum(known)}/{len(known)}" if known else "-"


# A reason once for each encoding, however many kernels it holds for.
def _unbuilt(found: Comparison) -> list[str]:
    reasons = {
        f"{cell.model.encoding}: {cell.model.reason}": None
        for cell in found.cells
        if cell.model.verdict is None
    }
    return ["\n".join(["no handoff:", *reasons])] if reasons else []


def _disagreements(found: Comparison) -> list[str]:
    lines = []
    for cell in found.disagreements:
        where = f"{cell.model.encoding} on {cell.model.kernel}"
        if cell.booted is not None:
            lines += [f"{where}: {why}" for why in _reasons(cell.booted)]
    return ["\n".join(["model and machine differ:", *lines])] if lines else []


def _reasons(booted: Booted) -> list[str]:
    reasons = [one for one in (booted.failure, booted.contradiction) if one]
    return reasons + [
        f"{one.field}: {one.one}; {one.other}" for one in booted.differences
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
