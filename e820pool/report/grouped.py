"""Different findings of a chapter, each once, with those that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from e820pool.compat.documents import VerdictDocument
    from e820pool.documents import FindingDocument
    from e820pool.report.chapters import CellDocument, ComparisonDocument

__all__ = ("Told", "findings_of_comparison", "findings_of_judged")

_T = TypeVar("_T")

Told = tuple["FindingDocument", str]
"""A finding and the words for those that it is for."""

_WORST_FIRST = ("unsafe", "degraded", "note")
# More names than this are counted, and the first ones given.
_NAMED = 12


def findings_of_judged(judged: Sequence[VerdictDocument]) -> list[Told]:
    """Return each different finding, the worst first, with its kernels."""
    asked = [one.kernel for one in judged]
    pairs = ((one.kernel, finding) for one in judged for finding in one.findings)
    return _grouped(pairs, lambda names: _kernels(names, asked))


def findings_of_comparison(chapter: ComparisonDocument) -> list[Told]:
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
) -> list[Told]:
    found: dict[FindingDocument, list[_T]] = {}
    for who, finding in pairs:
        told = found.setdefault(finding, [])
        if who not in told:
            told.append(who)
    ordered = sorted(found, key=lambda one: _WORST_FIRST.index(one.level))
    return [(finding, words(found[finding])) for finding in ordered]


def _kernels(names: Sequence[str], asked: Sequence[str]) -> str:
    if len(names) == len(asked) > 1:
        return f"all {len(asked)} kernels"
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _cells(cells: Sequence[CellDocument], asked: Sequence[str]) -> str:
    kernels: dict[str, list[str]] = {}
    for one in cells:
        kernels.setdefault(one.encoding, []).append(one.kernel)
    encodings: dict[tuple[str, ...], list[str]] = {}
    for name, found in kernels.items():
        encodings.setdefault(tuple(found), []).append(name)
    return "; ".join(
        f"{', '.join(names)} on {_kernels(found, asked)}"
        for found, names in encodings.items()
    )
