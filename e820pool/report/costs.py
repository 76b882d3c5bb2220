"""What each encoding of a comparison costs and keeps, over all its kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.report.table import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e820pool.report.chapters import CellDocument, ComparisonDocument

__all__ = ("EncodingCost", "cost_table", "costs_of", "loaders_of")

_NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingCost:
    """One encoding's costs in words; ``-`` where no kernel has a handoff.

    Attributes:
        entries: of the table, at most.
        words_bytes: of command line, at most.
        wasted: RAM neither deposited nor used, at most.
        pool: kernels on which the pool is rebuilt, of those that have a handoff.
        survives: for each loader: kernels from which a kexec keeps the deposits out of
            RAM, of those of which it is known.
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


def cost_table(
    chapter: ComparisonDocument, loaders: tuple[str, ...]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headers, and a row an encoding."""
    return ("encoding", "entries", "words", "wasted", "pool", *loaders), [
        (c.name, c.entries, c.words_bytes, c.wasted, c.pool, *c.survives)
        for c in costs_of(chapter, loaders)
    ]


def costs_of(
    chapter: ComparisonDocument, loaders: tuple[str, ...]
) -> tuple[EncodingCost, ...]:
    """Return what each encoding costs and keeps."""
    return tuple(
        _cost(encoding.name, encoding.meaning, chapter.row(encoding.name), loaders)
        for encoding in chapter.encodings
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
    values = list(counts)
    return str(max(values)) if values else _NONE


def _share(answers: Iterable[bool | None]) -> str:
    answered = [answer for answer in answers if answer is not None]
    return f"{sum(answered)}/{len(answered)}" if answered else _NONE
