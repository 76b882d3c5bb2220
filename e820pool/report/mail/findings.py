"""Verdicts and findings as lines of a mail: each different finding once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.report.chapters import WORDS
from e820pool.report.mail.lines import wrapped
from e820pool.report.verdicts import judged_on_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from e820pool.compat import Difference
    from e820pool.compat.documents import VerdictDocument
    from e820pool.documents import FindingDocument
    from e820pool.report.chapters import SidesDocument
    from e820pool.report.grouped import Told

__all__ = ("difference_lines", "finding_lines", "told_findings", "verdict_lines")


def verdict_lines(judged: Sequence[VerdictDocument]) -> Iterator[str]:
    """Yield a line a verdict with the kernels that have it, and what was booted."""
    for word in reversed(WORDS):
        names = [one.kernel for one in judged if one.verdict == word]
        if names:
            yield from wrapped(", ".join(names), f"{word:<9} ")
    for one in judged:
        if one.machine:
            sides = f"model {one.model}, machine {one.machine}"
            yield from wrapped(f"{one.kernel}: booted: {sides}")
        yield from difference_lines(one.kernel, one.differences or ())
    for line in judged_on_lines(judged):
        yield from wrapped(line, "", "    ")


def difference_lines(
    kernel: str, found: Iterable[Difference | SidesDocument]
) -> Iterator[str]:
    """Yield where model and machine differ."""
    for item in found:
        text = f"{kernel}: model and machine differ in {item.field}: model {item.one}; "
        yield from wrapped(f"{text}machine {item.other}", "", "    ")


def told_findings(found: Sequence[Told]) -> Iterator[str]:
    """Yield different findings, each with those that it is for."""
    for at, (finding, who) in enumerate(found):
        yield from [""] if at else []
        yield from finding_lines(finding, who)


def finding_lines(finding: FindingDocument, who: str) -> Iterator[str]:
    """Yield one finding: level and id, who it is for, the sentence, its source."""
    yield from wrapped(f"[{finding.level}] {finding.id} ({who})", "", "    ")
    yield from wrapped(finding.message, "    ")
    if finding.source:
        yield from wrapped(f"source: {finding.source}", "    ", "            ")
