"""Draw a map, or what became of one, as an SVG picture."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from e820pool.extents import ByteRangeSet, Span
from e820pool.report.map_table import device_lines, human_size
from e820pool.report.zones import (
    LABELS,
    PLACE_LABELS,
    Look,
    address_label,
    deposits_between,
    device_looks,
    drawn_devices,
    drawn_zones,
    looks_of,
)

if TYPE_CHECKING:
    from e820pool.extents import ExtentSet
    from e820pool.memory_map import MemoryMap

__all__ = ("svg_picture",)

# Colours that differ in lightness too, so that a grey print still tells them apart.
_FILL = {
    Look.RAM: "#7fb77e",
    Look.RESERVED: "#b9bec6",
    Look.ACPI: "#6f9bd1",
    Look.OTHER: "#c9a6d8",
    Look.DEPOSITED: "#c0392b",
    Look.NOTHING: "#ffffff",
    Look.DEVICE: "#3f4a8a",
    Look.PLUGGABLE: "#cdd2ea",
}

_WORDS = LABELS | PLACE_LABELS

# Pixels. A deposit of one page is drawn this wide at least: it must never vanish.
_MARGIN, _LABEL, _WIDTH = 20, 64, 860
_BAR, _RULER, _SPACE = 24, 18, 14
_LEAST = {Look.DEPOSITED: 2.0}
# What is narrower is drawn so wide, and without a tip of its own: nothing can be
# pointed at there.
_HAIRLINE, _POINTABLE = 0.6, 0.7

_Bars = dict[str, list[tuple[Look, ByteRangeSet]]]


def svg_picture(
    before: MemoryMap,
    after: MemoryMap | None = None,
    deposits: ExtentSet | None = None,
    *,
    title: str = "",
) -> str:
    """Return an SVG document: a bar for each map and stretch of addresses.

    Each range tells its addresses when pointed at. Without ``deposits`` they are
    what was RAM before and is RESERVED after.

    Raises:
        InputError: an entry reaches 2^64.
    """
    if after is None:
        zones, bars = drawn_zones([before]), {"": looks_of(before, deposits)}
    else:
        deposited = deposits_between(before, after) if deposits is None else deposits
        zones = drawn_zones([before, after])
        bars = {"before": looks_of(before), "after": looks_of(after, deposited)}
    memory_devices = drawn_devices([before, before if after is None else after])
    places = device_looks(memory_devices)
    has_names = after is not None or places
    page = _Page(left=_MARGIN + (_LABEL if has_names else 0), bars=bars, places=places)
    page.text(_MARGIN, title or before.origin or "memory map", size=15)
    page.down(_RULER + _SPACE)
    for zone in zones:
        page.zone(zone)
    page.legend()
    for line in device_lines(memory_devices):
        page.text(page.left, line)
        page.down(_MARGIN)
    return page.document()


class _Page:
    # The elements drawn so far, and how far down they reach.

    def __init__(
        self, *, left: int, bars: _Bars, places: list[tuple[Look, ByteRangeSet]]
    ) -> None:
        self.left, self.bars, self.places = left, bars, places
        self.parts: list[str] = []
        self.y = _MARGIN + 2

    def down(self, pixels: int) -> None:
        self.y += pixels

    def text(
        self, x: float, words: str, *, anchor: str = "start", size: int = 12
    ) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{self.y}" font-size="{size}" '
            f'text-anchor="{anchor}">{escape(_printable(words))}</text>'
        )

    def zone(self, zone: Span) -> None:
        right = self.left + _WIDTH
        self.text(self.left, address_label(zone.start))
        spans = f"spans {human_size(zone.size)}"
        self.text((self.left + right) / 2, spans, anchor="middle")
        self.text(right, address_label(zone.end), anchor="end")
        self.down(6)
        for name, looks in self.bars.items():
            self.bar(zone, name, looks)
        if any(ranges.overlaps(zone.start, zone.end) for _, ranges in self.places):
            self.bar(zone, "devices", self.places)
        self.down(_RULER + _SPACE)

    def bar(
        self, zone: Span, name: str, looks: list[tuple[Look, ByteRangeSet]]
    ) -> None:
        self.down(_BAR - 8)
        self.text(_MARGIN, name)
        self.y -= _BAR - 8
        self.parts.append(
            f'<rect x="{self.left}" y="{self.y}" width="{_WIDTH}" height="{_BAR}" '
            f'fill="{_FILL[Look.NOTHING]}" stroke="#8a8f98" stroke-width="0.5"/>'
        )
        window = ByteRangeSet([(zone.start, zone.end)])
        for look, ranges in looks:
            self.parts += (self.range(zone, look, *r) for r in ranges & window)
        self.down(_BAR + 3)

    def range(self, zone: Span, look: Look, start: int, end: int) -> str:
        x = self.left + _WIDTH * (start - zone.start) / zone.size
        width = _WIDTH * (end - start) / zone.size
        drawn = max(width, _LEAST.get(look, _HAIRLINE))
        x = min(x, self.left + _WIDTH - drawn)
        shape = (
            f'<rect x="{x:.2f}" y="{self.y}" width="{drawn:.2f}" height="{_BAR}" '
            f'fill="{_FILL[look]}"'
        )
        if drawn < _POINTABLE:
            return f"{shape}/>"
        tip = f"{Span(start, end)} {_WORDS[look]}, {human_size(end - start)}"
        return f"{shape}><title>{tip}</title></rect>"

    def legend(self) -> None:
        bars = [*self.bars.values(), self.places]
        used = {look for looks in bars for look, _ in looks}
        x = float(self.left)
        for look in [look for look in _WORDS if look in {*used, Look.NOTHING}]:
            self.parts.append(
                f'<rect x="{x:.1f}" y="{self.y - 10}" width="12" height="12" '
                f'fill="{_FILL[look]}" stroke="#8a8f98" stroke-width="0.5"/>'
            )
            self.text(x + 18, _WORDS[look])
            x += 34 + 7 * len(_WORDS[look])
        self.down(_MARGIN)

    def document(self) -> str:
        width, height = self.left + _WIDTH + _MARGIN, self.y
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}" '
            'font-family="DejaVu Sans, Verdana, sans-serif" fill="#1f2329">'
        )
        ground = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        return "\n".join([head, ground, *self.parts, "</svg>"]) + "\n"


def _printable(words: str) -> str:
    # XML has no form for control characters.
    return "".join(c if c.isprintable() else "?" for c in words)
