"""Encodings against kernels as an SVG picture."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from e820pool.report.compare_text import cell_word

if TYPE_CHECKING:
    from e820pool.report.compare_model import CompareCell, Comparison

__all__ = ("compare_svg",)

# Different in lightness, too: a grey print still tells them apart.
_FILL = {
    "safe": "#9bd0a0",
    "degraded": "#f2dc8f",
    "unsafe": "#d9604c",
    "unknown": "#ffffff",
}
_NO_HANDOFF = "#dddddd"

# Pixels.
_MARGIN, _NAME, _CELL, _ROW, _TITLE = 16, 130, 118, 26, 30


def compare_svg(comparison: Comparison, *, title: str = "") -> str:
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
        _text(_MARGIN, _MARGIN + 14, title or "encodings against kernels", size=15),
    ]
    top = _MARGIN + _TITLE
    for column, name in enumerate(comparison.kernels):
        out.append(_text(_left(column) + 6, top + 17, name, bold=True))
    for row, name in enumerate(comparison.encodings, start=1):
        y = top + row * _ROW
        out.append(_text(_MARGIN, y + 17, name, tip=comparison.meanings[name]))
        for column, cell in enumerate(comparison.row(name)):
            out += _drawn(_left(column), y, cell)
    return "\n".join([*out, "</svg>", ""])


def _drawn(x: int, y: int, cell: CompareCell) -> list[str]:
    verdict = cell.model.verdict
    fill = _NO_HANDOFF if verdict is None else _FILL[verdict.verdict]
    touched = cell.booted is not None and cell.booted.nr_touched > 0
    border = 'stroke="#000000" stroke-width="3"' if touched else 'stroke="#ffffff"'
    tip = f"<title>{escape(_tip(cell))}</title>"
    box = (
        f'<rect x="{x}" y="{y}" width="{_CELL - 4}" height="{_ROW - 4}" '
        f'fill="{fill}" {border}>{tip}</rect>'
    )
    return [box, _text(x + 6, y + 15, cell_word(cell))]


def _tip(cell: CompareCell) -> str:
    verdict = cell.model.verdict
    if verdict is None:
        return cell.model.reason
    messages = [finding.message for finding in verdict.findings]
    return "; ".join([f"{cell.model.encoding} on {cell.model.kernel}", *messages])


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
