"""A summary of each chapter of a report, in a sentence or two."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, TypeVar

from e820pool.extents import PAGE_SHIFT
from e820pool.findings import counted
from e820pool.report.chapters import (
    WORDS,
    ChainDocument,
    ComparisonDocument,
    ExhaustionDocument,
    HandoffChapter,
    VerdictsDocument,
)
from e820pool.report.map_table import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from e820pool.compat.verdict_documents import VerdictDocument
    from e820pool.documents import FindingDocument
    from e820pool.report.chapters import CellDocument, Chapter, Content, RunDocument


__all__ = (
    "GroupedFinding",
    "curve_sentence",
    "findings_of_comparison",
    "findings_of_judged",
    "heading",
    "pages_text",
    "summary",
)

# More names than this are counted: the verdicts themselves follow.
_NAMED = 6


_HEADINGS = {
    HandoffChapter: "Handoff",
    VerdictsDocument: "Verdicts of",
    ComparisonDocument: "Encodings against kernels:",
    ExhaustionDocument: "When entries run out:",
    ChainDocument: "Chain of kexecs:",
}


def heading(chapter: Chapter) -> str:
    """Return a chapter's title."""
    return f"{_HEADINGS[type(chapter.content)]} {chapter.origin}"


@singledispatch
def summary(content: Content) -> str:
    """Return a summary of a chapter in a sentence or two."""
    raise TypeError(type(content).__name__)


def pages_text(nr_pages: int) -> str:
    """Return pages with their size: ``512 pages (2 MiB)``."""
    pages = counted(nr_pages, "page")
    return f"{pages} ({human_size(nr_pages << PAGE_SHIFT)})" if nr_pages else pages


def curve_sentence(run: RunDocument, content: ExhaustionDocument) -> str:
    """Return what became of one policy on one host."""
    who = f"{run.policy} on {run.host} (seed {run.seed})"
    if run.reason:
        return f"{who}: cannot be had: {run.reason}"
    fallen = [
        (fall.call, limit, fall)
        for limit in content.limits
        if limit.measure in ("entries", "table")
        and (fall := run.fall_of(limit.name)) is not None
    ]
    failed = f"; {run.failed_calls} found no page" if run.failed_calls else ""
    end = f"{counted(run.calls, 'call')}, {counted(run.guests, 'guest')}{failed}"
    if not fallen:
        return f"{who}: never out of entries: at most {run.most} in {end}"
    _, limit, fall = min(fallen, key=lambda pair: pair[0])
    deposited = pages_text(fall.deposited_pages)
    return (
        f"{who}: first {limit.name} ({limit.most}) at call {fall.call} with guest "
        f"{fall.created}, {deposited} deposited: {limit.meaning}; at most {run.most} "
        f"entries in {end}"
    )


@summary.register
def _(content: HandoffChapter) -> str:
    nr_deposits = counted(len(content.ledger), "deposit")
    pages = pages_text(content.ledger.extents.nr_pages)
    entries = counted(len(content.after), "entry")
    return f"{nr_deposits}, {pages}, in {entries}. {_verdicts(content.verdicts)}"


@summary.register
def _(content: VerdictsDocument) -> str:
    return _verdicts(content.verdicts)


@summary.register
def _(content: ComparisonDocument) -> str:
    head = (
        f"{counted(content.nr_deposits, 'deposit')}, "
        f"{pages_text(content.nr_deposited_pages)}, "
        f"told in {counted(len(content.encodings), 'way')} to "
        f"{counted(len(content.kernels), 'kernel')}. "
    )
    safe = [
        encoding.name
        for encoding in content.encodings
        if all(cell.word == "safe" for cell in content.row(encoding.name))
    ]
    names = f"Safe on all of them: {', '.join(safe)}" if safe else "None is safe on all"
    return f"{head}{names}.{_booted(content)}"


@summary.register
def _(content: ExhaustionDocument) -> str:
    lasting = [
        run
        for run in content.results
        if not run.reason and not run.failed_calls and not _runs_out(run, content)
    ]
    names = dict.fromkeys(run.policy for run in lasting)
    out = sum(not run.reason and _runs_out(run, content) for run in content.results)
    return (
        f"{out} of {counted(len(content.results), 'run')} met a limit of entries; "
        f"never out of entries: {', '.join(names) or 'none'}."
    )


@summary.register
def _(content: ChainDocument) -> str:
    hops = counted(len(content.hops), "kernel")
    if content.stopped:
        return f"Stopped after {hops}: {content.stopped}."
    if content.intact:
        return (
            f"Intact over {hops}: no deposited page was touched, and every pool was "
            "rebuilt as it was."
        )
    if not content.touched_deposits:
        return f"Not intact over {hops}: no page was touched, but {content.loss}."
    touched = pages_text(content.touched_deposits.nr_pages)
    return f"Not intact over {hops}: {touched} were touched."


def _runs_out(run: RunDocument, content: ExhaustionDocument) -> bool:
    return any(
        run.fall_of(limit.name)
        for limit in content.limits
        if limit.measure in ("entries", "table")
    )


def _booted(content: ComparisonDocument) -> str:
    booted = [cell for cell in content.cells if cell.booted]
    if not booted:
        return " Nothing was booted: these are the model's words."
    wrong = sum(not cell.is_foreseen for cell in booted)
    foreseen = "the model foresaw all" if not wrong else f"the model missed {wrong}"
    return f" {counted(len(booted), 'boot')}: {foreseen}."


def _verdicts(judged: Sequence[VerdictDocument]) -> str:
    names = {
        word: [verdict.kernel for verdict in judged if verdict.verdict == word]
        for word in WORDS
    }
    parts = [
        _on(word, names[word], len(judged)) for word in reversed(WORDS) if names[word]
    ]
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else "No kernel was asked."


def _on(word: str, names: Sequence[str], nr_asked: int) -> str:
    if len(names) == nr_asked > 1:
        return f"{word} on all {nr_asked} kernels asked"
    if len(names) > _NAMED:
        return f"{word} on {len(names)} of {nr_asked} kernels"
    return f"{word} on {', '.join(names)}"


_T = TypeVar("_T")

GroupedFinding = tuple["FindingDocument", str]
"""A finding and the words for those that it is for."""

_WORST_FIRST = ("unsafe", "degraded", "note")
# More names than this are counted, and the first ones given.
_MOST_NAMES = 12


def findings_of_judged(judged: Sequence[VerdictDocument]) -> list[GroupedFinding]:
    """Return each different finding, the worst first, with its kernels."""
    kernels = [verdict.kernel for verdict in judged]
    pairs = (
        (verdict.kernel, finding) for verdict in judged for finding in verdict.findings
    )
    return _grouped(pairs, lambda names: _kernels(names, kernels))


def findings_of_comparison(chapter: ComparisonDocument) -> list[GroupedFinding]:
    """Return each different finding, the worst first, encoding by encoding."""
    pairs = (
        (cell, finding)
        for cell in chapter.cells
        if cell.verdict is not None
        for finding in cell.verdict.findings
    )
    return _grouped(pairs, lambda cells: _cells(cells, chapter.kernels))


def _grouped(
    pairs: Iterable[tuple[_T, FindingDocument]], words: Callable[[list[_T]], str]
) -> list[GroupedFinding]:
    groups: dict[FindingDocument, list[_T]] = {}
    for who, finding in pairs:
        group = groups.setdefault(finding, [])
        if who not in group:
            group.append(who)
    ordered = sorted(groups, key=lambda finding: _WORST_FIRST.index(finding.level))
    return [(finding, words(groups[finding])) for finding in ordered]


def _kernels(names: Sequence[str], kernels: Sequence[str]) -> str:
    if len(names) == len(kernels) > 1:
        return f"all {len(kernels)} kernels"
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _cells(cells: Sequence[CellDocument], all_kernels: Sequence[str]) -> str:
    kernels: dict[str, list[str]] = {}
    for cell in cells:
        kernels.setdefault(cell.encoding, []).append(cell.kernel)
    encodings: dict[tuple[str, ...], list[str]] = {}
    for name, group in kernels.items():
        encodings.setdefault(tuple(group), []).append(name)
    return "; ".join(
        f"{', '.join(names)} on {_kernels(group, all_kernels)}"
        for group, names in encodings.items()
    )
