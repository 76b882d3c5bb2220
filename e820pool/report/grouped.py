"""Different findings of a chapter, each once, with those that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from e820pool.compat.documents import VerdictDocument
    from e820pool.documents import FindingDocument
    from e820pool.report.chapters import CellDocument, ComparisonDocument

__all__ = ("GroupedFinding", "findings_of_comparison", "findings_of_judged")

_T = TypeVar("_T")

GroupedFinding = tuple["FindingDocument", str]
"""A finding and the words for those that it is for."""

_WORST_FIRST = ("unsafe", "degraded", "note")
# More names than this are counted, and the first ones given.
_NAMED = 12


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
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
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
