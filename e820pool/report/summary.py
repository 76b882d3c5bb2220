"""A summary of each chapter of a report, in a sentence or two."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

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
from e820pool.report.table import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.compat.documents import VerdictDocument
    from e820pool.report.chapters import Chapter, Content, RunDocument

__all__ = ("curve_sentence", "heading", "pages_text", "summary")

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
    told = counted(nr_pages, "page")
    return f"{told} ({human_size(nr_pages << PAGE_SHIFT)})" if nr_pages else told


def curve_sentence(one: RunDocument, content: ExhaustionDocument) -> str:
    """Return what became of one policy on one host."""
    who = f"{one.policy} on {one.host} (seed {one.seed})"
    if one.reason:
        return f"{who}: cannot be had: {one.reason}"
    fallen = [
        (fall.call, limit, fall)
        for limit in content.limits
        if limit.measure in ("entries", "table")
        and (fall := one.fall_of(limit.name)) is not None
    ]
    failed = f"; {one.failed_calls} found no page" if one.failed_calls else ""
    end = f"{counted(one.calls, 'call')}, {counted(one.guests, 'guest')}{failed}"
    if not fallen:
        return f"{who}: never out of entries: at most {one.most} in {end}"
    _, limit, fall = min(fallen, key=lambda pair: pair[0])
    deposited = pages_text(fall.deposited_pages)
    return (
        f"{who}: first {limit.name} ({limit.most}) at call {fall.call} with guest "
        f"{fall.created}, {deposited} deposited: {limit.meaning}; at most {one.most} "
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
        one.name
        for one in content.encodings
        if all(cell.word == "safe" for cell in content.row(one.name))
    ]
    told = (
        f"Safe on all of them: {', '.join(safe)}." if safe else "None is safe on all."
    )
    return head + told + _booted(content)


@summary.register
def _(content: ExhaustionDocument) -> str:
    lasting = [
        one
        for one in content.results
        if not one.reason and not one.failed_calls and not _runs_out(one, content)
    ]
    names = dict.fromkeys(one.policy for one in lasting)
    out = sum(not one.reason and _runs_out(one, content) for one in content.results)
    told = f"{out} of {counted(len(content.results), 'run')} met a limit of entries"
    return f"{told}; never out of entries: {', '.join(names) or 'none'}."


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


def _runs_out(one: RunDocument, content: ExhaustionDocument) -> bool:
    measured = (x.name for x in content.limits if x.measure in ("entries", "table"))
    return any(one.fall_of(name) for name in measured)


def _booted(content: ComparisonDocument) -> str:
    booted = [cell for cell in content.cells if cell.booted]
    if not booted:
        return " Nothing was booted: these are the model's words."
    wrong = sum(not cell.is_foreseen for cell in booted)
    told = "the model foresaw all" if not wrong else f"the model missed {wrong}"
    return f" {counted(len(booted), 'boot')}: {told}."


def _verdicts(judged: Sequence[VerdictDocument]) -> str:
    names = {
        word: [one.kernel for one in judged if one.verdict == word] for word in WORDS
    }
    parts = [
        _on(word, names[word], len(judged)) for word in reversed(WORDS) if names[word]
    ]
    told = "; ".join(parts)
    return f"{told[:1].upper()}{told[1:]}." if told else "No kernel was asked."


def _on(word: str, names: Sequence[str], nr_asked: int) -> str:
    if len(names) == nr_asked > 1:
        return f"{word} on all {nr_asked} kernels asked"
    if len(names) > _NAMED:
        return f"{word} on {len(names)} of {nr_asked} kernels"
    return f"{word} on {', '.join(names)}"
