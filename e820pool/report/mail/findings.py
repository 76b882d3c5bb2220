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
    from e820pool.report.summary import GroupedFinding

__all__ = ("difference_lines", "finding_lines", "lines_of_findings", "verdict_lines")


def verdict_lines(judged: Sequence[VerdictDocument]) -> Iterator[str]:
    """Yield a line a verdict with the kernels that have it, and what was booted."""
    for word in reversed(WORDS):
        names = [verdict.kernel for verdict in judged if verdict.verdict == word]
        if names:
            yield from wrapped(", ".join(names), f"{word:<9} ")
    for verdict in judged:
        if verdict.machine:
            sides = f"model {verdict.model}, machine {verdict.machine}"
            yield from wrapped(f"{verdict.kernel}: booted: {sides}")
        yield from difference_lines(verdict.kernel, verdict.differences or ())
    for line in judged_on_lines(judged):
        yield from wrapped(line, "", "    ")


def difference_lines(
    kernel: str, differences: Iterable[Difference | SidesDocument]
) -> Iterator[str]:
    """Yield where model and machine differ."""
    for difference in differences:
        text = f"{kernel}: model and machine differ in {difference.field}: "
        text += f"model {difference.one}; machine {difference.other}"
        yield from wrapped(text, "", "    ")


def lines_of_findings(findings: Sequence[GroupedFinding]) -> Iterator[str]:
    """Yield different findings, each with those that it is for."""
    for at, (finding, who) in enumerate(findings):
        yield from [""] if at else []
        yield from finding_lines(finding, who)


def finding_lines(finding: FindingDocument, who: str) -> Iterator[str]:
    """Yield one finding: level and id, who it is for, the sentence, its source."""
    yield from wrapped(f"[{finding.level}] {finding.id} ({who})", "", "    ")
    yield from wrapped(finding.message, "    ")
    if finding.source:
        yield from wrapped(f"source: {finding.source}", "    ", "            ")
