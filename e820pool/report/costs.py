"""What each encoding of a comparison costs and keeps, over all its kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.report.table import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e820pool.report.chapters import CellDocument, ComparisonDocument

__all__ = ("EncodingCost", "costs_of", "loaders_of")

_NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingCost:
    """One encoding's costs in words; ``-`` where no kernel has a handoff.

    Attributes:
        entries: of the table, at most.
        words_bytes: of command line, at most.
        wasted: RAM neither deposited nor used, at most.
        pool: kernels on which the pool is rebuilt, of those that have a handoff.
        survives: the same for each loader of :func:`loaders_of`: kernels from which
            a kexec keeps the deposits out of RAM, of those of which it is known.
    """

    name: str
    meaning: str
    entries: str
    words_bytes: str
    wasted: str
    pool: str
    survives: tuple[str, ...]


def loaders_of(chapter: ComparisonDocument) -> tuple[str, ...]:
    """Return the loaders that any cell names, in order."""
    names = (name for cell in chapter.cells for name in cell.survives)
    return tuple(dict.fromkeys(names))


def costs_of(chapter: ComparisonDocument) -> tuple[EncodingCost, ...]:
    """Return a row an encoding."""
    loaders = loaders_of(chapter)
    return tuple(
        _cost(one.name, one.meaning, chapter.row(one.name), loaders)
        for one in chapter.encodings
    )


def _cost(
    name: str, meaning: str, cells: Sequence[CellDocument], loaders: tuple[str, ...]
) -> EncodingCost:
    built = [cell for cell in cells if cell.verdict is not None]
    return EncodingCost(
        name=name,
        meaning=meaning,
        entries=_most(cell.nr_entries for cell in built),
        words_bytes=_most(cell.nr_words_bytes for cell in built),
        wasted=human_size(max(cell.wasted_bytes for cell in built)) if built else _NONE,
        pool=_share(cell.rebuildable for cell in built),
        survives=tuple(
            _share(cell.survives.get(loader) for cell in built) for loader in loaders
        ),
    )


def _most(counts: Iterable[int]) -> str:
    found = list(counts)
    return str(max(found)) if found else _NONE


def _share(answers: Iterable[bool | None]) -> str:
    known = [answer for answer in answers if answer is not None]
    return f"{sum(known)}/{len(known)}" if known else _NONE
