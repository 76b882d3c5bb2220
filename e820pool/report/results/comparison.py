"""Read a comparison of encodings back from JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import BadImageError
from e820pool.report.results.judged import verdict_at
from e820pool.report.results.model import ComparisonChapter, MatrixCell

if TYPE_CHECKING:
    from typing import Any

    from e820pool.sources.json_fields import Fields

__all__ = ("comparison_chapter",)


def comparison_chapter(found: Fields, origin: str) -> ComparisonChapter:
    """Return the chapter of a document of kind ``comparison``."""
    kernels = found.texts("kernels")
    encodings = tuple(
        (one.text("name"), one.text("meaning")) for one in found.parts("encodings")
    )
    cells = tuple(_cell(one) for one in found.parts("cells"))
    _validate_whole(cells, kernels, encodings, found.where)
    return ComparisonChapter(
        origin=origin,
        kernels=kernels,
        encodings=encodings,
        cells=cells,
        nr_deposits=found.count("nr_deposits"),
        nr_pages=found.count("nr_deposited_pages"),
    )


def _cell(found: Fields) -> MatrixCell:
    return MatrixCell(
        encoding=found.text("encoding"),
        kernel=found.text("kernel"),
        verdict=verdict_at(found.part("verdict")) if found.has("verdict") else None,
        reason=found.text("reason") if found.has("reason") else "",
        nr_entries=found.count("nr_entries"),
        nr_words_bytes=found.count("nr_words_bytes"),
        wasted_bytes=found.count("wasted_bytes"),
        is_rebuildable=found.flag("rebuildable"),
        survives=_survives(found.part("survives")),
        **(_booted(found.part("booted")) if found.has("booted") else {}),
    )


def _survives(found: Fields) -> tuple[tuple[str, bool | None], ...]:
    return tuple(
        (loader, found.flag(loader) if found.has(loader) else None)
        for loader in found.values
    )


def _booted(found: Fields) -> dict[str, Any]:
    seen = verdict_at(found.part("verdict")) if found.has("verdict") else None
    return {
        "booted": "lost" if seen is None else seen.verdict,
        "nr_touched": found.count("nr_touched"),
        "is_foreseen": found.flag("agrees"),
        "disagreements": found.texts("reasons"),
    }


def _validate_whole(
    cells: tuple[MatrixCell, ...],
    kernels: tuple[str, ...],
    encodings: tuple[tuple[str, str], ...],
    where: str,
) -> None:
    # Cells in another order would stand under the wrong kernel.
    want = [(name, kernel) for name, _ in encodings for kernel in kernels]
    if [(one.encoding, one.kernel) for one in cells] != want:
        raise BadImageError(
            f"{where}: {len(cells)} cells are not one for each of {len(encodings)} "
            f"encodings and {len(kernels)} kernels, in their order"
        )
