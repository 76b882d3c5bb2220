"""Encodings against kernels: what a boot showed, as tables and as an SVG picture."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from e820pool.compat import judge_boot
from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.findings import counted
from e820pool.pool.designs import contradiction
from e820pool.report.chapters import BootedDocument, CellDocument
from e820pool.report.columns import columns
from e820pool.report.map_table import human_size
from e820pool.report.verdicts import judged_on_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e820pool.kernel.profiles import Profile
    from e820pool.lab.boot import BootOutcome
    from e820pool.pool.designs import DesignCell
    from e820pool.report.chapters import ComparisonDocument

__all__ = (
    "EncodingCost",
    "booted_of",
    "cell_of",
    "compare_svg",
    "compare_text",
    "cost_table",
    "costs_of",
    "loaders_of",
)

_LOADERS = ("kexec-load", "kexec-file")
_NONE = "-"

# Different in lightness, too: a grey print still tells them apart.
_FILL = {
    "safe": "#9bd0a0",
    "degraded": "#f2dc8f",
    "unsafe": "#d9604c",
    "unknown": "#ffffff",
    "no handoff": "#dddddd",
}

# Pixels.
_MARGIN, _NAME, _CELL, _ROW, _TITLE = 16, 130, 118, 26, 30


def booted_of(
    cell: DesignCell, outcome: BootOutcome, profile: Profile
) -> BootedDocument:
    """Return what a boot of a cell's handoff showed, held against the model."""
    record = outcome.record
    if record is None:
        return BootedDocument(
            kernel="",
            verdict=None,
            nr_touched=0,
            agrees=False,
            reasons=(str(outcome.failure),),
        )
    touched = record.view.touched_deposits
    both = judge_boot(record, profile)
    reasons = (
        contradiction(cell, record.view),
        *(f"{side.field}: {side.model}; {side.machine}" for side in both.differences),
    )
    return BootedDocument(
        kernel=record.view.kernel,
        verdict=VerdictDocument.of(both.machine),
        nr_touched=touched.nr_pages if touched else 0,
        agrees=not any(reasons),
        reasons=tuple(filter(None, reasons)),
    )


def cell_of(model: DesignCell, booted: BootedDocument | None) -> CellDocument:
    """Return one encoding on one kernel; ``booted`` is None where none was asked."""
    verdict = model.verdict
    return CellDocument.of_attributes(
        model,
        verdict=None if verdict is None else VerdictDocument.of(verdict),
        reason=model.reason or None,
        rebuildable=model.is_rebuildable,
        booted=booted,
    )


def compare_text(comparison: ComparisonDocument, width: int | None = None) -> str:
    """Return the verdicts, what each encoding costs and keeps, and what differs.

    ``width`` is what a line has room for, None for any.
    """
    unforeseen = [
        f"{cell.encoding} on {cell.kernel}: {why}"
        for cell in comparison.cells
        for why in cell.disagreements
    ]
    # A reason once for each encoding, however many kernels it holds for.
    unbuilt = dict.fromkeys(
        f"{cell.encoding}: {cell.reason}" for cell in comparison.cells if cell.reason
    )
    # Of one kernel the encodings may differ in what was assumed for them.
    verdicts = [cell.verdict for cell in comparison.cells if cell.verdict is not None]
    parts = (
        _verdict_lines(comparison, width),
        ["no handoff:", *unbuilt] if unbuilt else [],
        _cost_lines(comparison, width),
        ["model and machine differ:", *unforeseen] if unforeseen else [],
        judged_on_lines(verdicts),
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _verdict_lines(comparison: ComparisonDocument, width: int | None) -> list[str]:
    names = [encoding.name for encoding in comparison.encodings]
    rows = [[name, *map(_cell_word, comparison.row(name))] for name in names]
    pages = (
        f"{counted(comparison.nr_deposited_pages, 'page')} in "
        f"{counted(comparison.nr_deposits, 'deposit')}"
    )
    legend = "verdict of the model"
    if any(cell.booted for cell in comparison.cells):
        legend += "/deposited pages that the real kernel touched"
    table = columns(rows, ["encoding", *comparison.kernels], width=width)
    return [f"{pages}; {legend}", table]


# In a word or two: the model's verdict, and pages seen touched.
def _cell_word(cell: CellDocument) -> str:
    if cell.verdict is None or cell.booted is None:
        return cell.word
    if cell.booted.verdict is None:
        return f"{cell.word}/lost"
    mark = "" if cell.booted.agrees else "?"
    return f"{cell.word}/{cell.booted.nr_touched}{mark}"


def _cost_lines(comparison: ComparisonDocument, width: int | None) -> list[str]:
    headers, rows = cost_table(comparison, _LOADERS)
    legend = (
        "entries of the table, bytes of command line, RAM neither deposited nor used: "
        "at most;\nkernels on which the pool is rebuilt; kernels from which a kexec "
        "keeps the deposits\nout of RAM though nobody tells it of them"
    )
    return [legend, columns(rows, headers, width=width)]


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


def loaders_of(comparison: ComparisonDocument) -> tuple[str, ...]:
    """Return the loaders that any cell names, in order."""
    names = (name for cell in comparison.cells for name in cell.survives)
    return tuple(dict.fromkeys(names))


def cost_table(
    comparison: ComparisonDocument, loaders: tuple[str, ...]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headers, and a row an encoding."""
    return ("encoding", "entries", "words", "wasted", "pool", *loaders), [
        (c.name, c.entries, c.words_bytes, c.wasted, c.pool, *c.survives)
        for c in costs_of(comparison, loaders)
    ]


def costs_of(
    comparison: ComparisonDocument, loaders: tuple[str, ...]
) -> tuple[EncodingCost, ...]:
    """Return what each encoding costs and keeps."""
    return tuple(
        _cost(encoding.name, encoding.meaning, comparison.row(encoding.name), loaders)
        for encoding in comparison.encodings
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
    return str(max(counts, default=_NONE))


def _share(answers: Iterable[bool | None]) -> str:
    answered = [answer for answer in answers if answer is not None]
    return f"{sum(answered)}/{len(answered)}" if answered else _NONE


def compare_svg(comparison: ComparisonDocument) -> str:
    """Return an SVG document: a row an encoding, a column a kernel.

    A cell is coloured by the model's verdict; it has a thick border where the real
    kernel was seen to touch a deposit, and tells its findings when pointed at.
    """
    width = 2 * _MARGIN + _NAME + _CELL * len(comparison.kernels)
    height = 2 * _MARGIN + _TITLE + _ROW * (len(comparison.encodings) + 1)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    )
    out = [
        head,
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(_MARGIN, _MARGIN + 14, "encodings against kernels", size=15),
    ]
    top = _MARGIN + _TITLE
    for column, kernel in enumerate(comparison.kernels):
        out.append(_text(_left(column) + 6, top + 17, kernel, bold=True))
    for row, encoding in enumerate(comparison.encodings, start=1):
        y = top + row * _ROW
        out.append(_text(_MARGIN, y + 17, encoding.name, tip=encoding.meaning))
        for column, cell in enumerate(comparison.row(encoding.name)):
            out += _drawn(_left(column), y, cell)
    return "\n".join([*out, "</svg>", ""])


def _drawn(x: int, y: int, cell: CellDocument) -> list[str]:
    touched = cell.booted is not None and cell.booted.nr_touched > 0
    border = 'stroke="#000000" stroke-width="3"' if touched else 'stroke="#ffffff"'
    tip = cell.reason or ""
    if cell.verdict is not None:
        messages = [finding.message for finding in cell.verdict.findings]
        tip = "; ".join([f"{cell.encoding} on {cell.kernel}", *messages])
    box = (
        f'<rect x="{x}" y="{y}" width="{_CELL - 4}" height="{_ROW - 4}" '
        f'fill="{_FILL[cell.word]}" {border}><title>{escape(tip)}</title></rect>'
    )
    return [box, _text(x + 6, y + 15, _cell_word(cell))]


def _left(column: int) -> int:
    return _MARGIN + _NAME + column * _CELL


def _text(
    x: int, y: int, text: str, *, size: int = 12, bold: bool = False, tip: str = ""
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}"{weight}>{title}{escape(text)}</text>'
    )
