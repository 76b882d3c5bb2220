"""Say in a sentence or two what a chapter of a report comes to."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SHIFT
from e820pool.findings import counted
from e820pool.report.results.judged import WORDS
from e820pool.report.results.model import (
    ChainChapter,
    ComparisonChapter,
    ExhaustionChapter,
    HandoffChapter,
    Judged,
    VerdictsChapter,
)
from e820pool.report.table import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.report.results.model import Chapter, Curve

__all__ = ("curve_sentence", "heading", "pages_text", "summary")

# More names than this are counted: the verdicts themselves follow.
_NAMED = 6


@singledispatch
def heading(chapter: Chapter) -> str:
    """Return a chapter's title."""
    raise TypeError(type(chapter).__name__)


@singledispatch
def summary(chapter: Chapter) -> str:
    """Return what a chapter comes to."""
    raise TypeError(type(chapter).__name__)


def pages_text(nr_pages: int) -> str:
    """Return pages with their size: ``512 pages (2 MiB)``."""
    told = counted(nr_pages, "page")
    return f"{told} ({human_size(nr_pages << PAGE_SHIFT)})" if nr_pages else told


def curve_sentence(one: Curve, chapter: ExhaustionChapter) -> str:
    """Return what became of one policy on one host."""
    who = f"{one.policy} on {one.host} (seed {one.seed})"
    if one.reason:
        return f"{who}: cannot be had: {one.reason}"
    fallen = [
        (fall.call, limit, fall)
        for limit in chapter.limits
        if limit.measure in ("entries", "table")
        and (fall := one.fall_of(limit.name)) is not None
    ]
    failed = f"; {one.failed_calls} found no page" if one.failed_calls else ""
    end = f"{counted(one.calls, 'call')}, {counted(one.guests, 'guest')}{failed}"
    if not fallen:
        return f"{who}: never out of entries: at most {one.most} in {end}"
    _, limit, fall = min(fallen, key=lambda pair: pair[0])
    return (
        f"{who}: first {limit.name} ({limit.most}) at call {fall.call} with guest "
        f"{fall.guest}, {pages_text(fall.nr_pages)} deposited: {limit.meaning}; at "
        f"most {one.most} entries in {end}"
    )


@heading.register
def _(chapter: HandoffChapter) -> str:
    return f"Handoff {chapter.origin}"


@heading.register
def _(chapter: VerdictsChapter) -> str:
    return f"Verdicts of {chapter.origin}"


@heading.register
def _(chapter: ComparisonChapter) -> str:
    return f"Encodings against kernels: {chapter.origin}"


@heading.register
def _(chapter: ExhaustionChapter) -> str:
    return f"When entries run out: {chapter.origin}"


@heading.register
def _(chapter: ChainChapter) -> str:
    return f"Chain of kexecs: {chapter.origin}"


@summary.register
def _(chapter: HandoffChapter) -> str:
    nr_deposits = counted(len(chapter.ledger), "deposit")
    pages = pages_text(chapter.ledger.extents.nr_pages)
    entries = counted(len(chapter.after), "entry")
    return f"{nr_deposits}, {pages}, in {entries}. {_verdicts(chapter.judged)}"


@summary.register
def _(chapter: VerdictsChapter) -> str:
    return _verdicts(chapter.judged)


@summary.register
def _(chapter: ComparisonChapter) -> str:
    head = (
        f"{counted(chapter.nr_deposits, 'deposit')}, {pages_text(chapter.nr_pages)}, "
        f"told in {counted(len(chapter.encodings), 'way')} to "
        f"{counted(len(chapter.kernels), 'kernel')}. "
    )
    safe = [
        name
        for name, _ in chapter.encodings
        if all(cell.word == "safe" for cell in chapter.row(name))
    ]
    told = (
        f"Safe on all of them: {', '.join(safe)}." if safe else "None is safe on all."
    )
    return head + told + _booted(chapter)


@summary.register
def _(chapter: ExhaustionChapter) -> str:
    lasting = [
        one
        for one in chapter.curves
        if not one.reason and not one.failed_calls and not _runs_out(one, chapter)
    ]
    names = dict.fromkeys(one.policy for one in lasting)
    out = sum(not one.reason and _runs_out(one, chapter) for one in chapter.curves)
    told = f"{out} of {counted(len(chapter.curves), 'run')} met a limit of entries"
    return f"{told}; never out of entries: {', '.join(names) or 'none'}."


@summary.register
def _(chapter: ChainChapter) -> str:
    hops = counted(len(chapter.hops), "kernel")
    if chapter.stopped:
        return f"Stopped after {hops}: {chapter.stopped}."
    if chapter.is_intact:
        return (
            f"Intact over {hops}: no deposited page was touched, and every pool was "
            "rebuilt as it was."
        )
    return f"Not intact over {hops}: {pages_text(chapter.nr_touched)} were touched."


def _runs_out(one: Curve, chapter: ExhaustionChapter) -> bool:
    measured = (x.name for x in chapter.limits if x.measure in ("entries", "table"))
    return any(one.fall_of(name) for name in measured)


def _booted(chapter: ComparisonChapter) -> str:
    booted = [cell for cell in chapter.cells if cell.booted]
    if not booted:
        return " Nothing was booted: these are the model's words."
    wrong = sum(not cell.is_foreseen for cell in booted)
    told = "the model foresaw all" if not wrong else f"the model missed {wrong}"
    return f" {counted(len(booted), 'boot')}: {told}."


def _verdicts(judged: Sequence[Judged]) -> str:
    names = {
        word: [one.verdict.kernel for one in judged if one.verdict.verdict == word]
        for word in WORDS
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
