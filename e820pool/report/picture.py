"""Draw a map, or what became of one, with characters."""

from __future__ import annotations

from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from e820pool.report.map_table import device_lines, human_size
from e820pool.report.paint import LOOK_STYLES, plain
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
    from numpy.typing import NDArray

    from e820pool.extents import ByteRangeSet, ExtentSet, Span
    from e820pool.memory_map import MemoryMap
    from e820pool.report.paint import Paint

__all__ = ("MIN_WIDTH", "picture")

MIN_WIDTH = 40
"""Columns below which a picture is drawn as if it had so many."""

_BLOCKS = {
    Look.RAM: "\N{FULL BLOCK}",
    Look.RESERVED: "\N{LIGHT SHADE}",
    Look.ACPI: "\N{MEDIUM SHADE}",
    Look.OTHER: "?",
    Look.DEPOSITED: "D",
    Look.NOTHING: "\N{MIDDLE DOT}",
    Look.DEVICE: "M",
    Look.PLUGGABLE: "m",
}
_ASCII = {
    Look.RAM: "#",
    Look.RESERVED: "-",
    Look.ACPI: "=",
    Look.OTHER: "?",
    Look.DEPOSITED: "D",
    Look.NOTHING: ".",
    Look.DEVICE: "M",
    Look.PLUGGABLE: "m",
}


# The name of their bar.
_DEVICES = "devices"


def picture(
    before: MemoryMap,
    after: MemoryMap | None = None,
    deposits: ExtentSet | None = None,
    *,
    width: int = 80,
    ascii_only: bool = False,
    paint: Paint = plain,
) -> str:
    """Return lines of at most ``width`` columns: a bar for each map and stretch.

    A column shows what fills most of it, but a deposit always shows. Memory devices
    have a bar of their own, where there are any. Without ``deposits`` they are what
    was RAM before and is RESERVED after. ``paint`` adds colour
    (:func:`e820pool.report.paint.painter`).

    Raises:
        InputError: an entry reaches 2^64.
    """
    maps = [before] if after is None else [before, after]
    if after is not None:
        deposited = deposits_between(before, after) if deposits is None else deposits
        bars = {"before": looks_of(before), "after": looks_of(after, deposited)}
    else:
        bars = {"": looks_of(before, deposits)}
    margin = max(len(name) for name in bars) + (after is not None)
    marks = _ASCII if ascii_only else _BLOCKS
    devices = drawn_devices(maps)
    places = device_looks(devices)
    margin = max(margin, len(_DEVICES) + 1) if places else margin
    columns = max(width, MIN_WIDTH) - margin
    lines, seen = [], set()
    for zone in drawn_zones(maps):
        lines.append(" " * margin + _ruler(zone, columns))
        for name, cells in _rows(zone, bars, columns).items():
            seen |= set(cells)
            lines.append(name.ljust(margin) + _bar(cells, marks, paint))
        if any(ranges.overlaps(zone.start, zone.end) for _, ranges in places):
            cells = _cells(zone, places, min(columns, zone.size))
            seen |= set(cells)
            lines.append(_DEVICES.ljust(margin) + _bar(cells, marks, paint))
    lines += _legend(seen, marks, columns + margin, paint)
    for line in device_lines(devices):
        lines += wrap(line, columns + margin)
    return "\n".join(lines) + "\n"


def _bar(cells: list[Look], marks: dict[Look, str], paint: Paint) -> str:
    # A run of one look is painted as one.
    runs = ((look, sum(1 for _ in run)) for look, run in groupby(cells))
    return "".join(paint(LOOK_STYLES[look], marks[look] * n) for look, n in runs)


def _rows(
    zone: Span, bars: dict[str, list[tuple[Look, ByteRangeSet]]], columns: int
) -> dict[str, list[Look]]:
    # Where nothing changed one bar stands for both.
    rows = {
        name: _cells(zone, looks, min(columns, zone.size))
        for name, looks in bars.items()
    }
    first, last = next(iter(rows.values())), [*rows.values()][-1]
    return {"both": first} if len(rows) > 1 and first == last else rows


def _ruler(zone: Span, columns: int) -> str:
    # Both ends, and between them what one column stands for, if it fits.
    start, end = address_label(zone.start), address_label(zone.end)
    scale = f" {human_size(-(-zone.size // columns))} a column "
    fits = len(scale) + 2 * max(len(start), len(end)) <= columns
    middle = (scale if fits else "").center(columns)
    return start + middle[len(start) : columns - len(end)] + end


def _cells(
    zone: Span, looks: list[tuple[Look, ByteRangeSet]], columns: int
) -> list[Look]:
    edges = np.array(
        [zone.start + zone.size * at // columns for at in range(columns + 1)], np.uint64
    )
    filled = {look: np.diff(_bytes_below(ranges, edges)) for look, ranges in looks}
    deposited = filled.pop(Look.DEPOSITED, np.zeros(columns, np.uint64))
    nothing = np.diff(edges) - sum(filled.values(), np.zeros(columns, np.uint64))
    kinds = [Look.NOTHING, *filled]
    most = np.argmax(np.stack([nothing, *filled.values()]), axis=0)
    return [
        Look.DEPOSITED if is_deposit else kinds[at]
        for at, is_deposit in zip(most.tolist(), (deposited > 0).tolist(), strict=True)
    ]


def _bytes_below(ranges: ByteRangeSet, edges: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # How many bytes of the set lie below each edge.
    sizes = ranges.ends - ranges.starts
    before = np.concatenate(([np.uint64(0)], np.cumsum(sizes, dtype=np.uint64)))
    at = np.searchsorted(ranges.starts, edges, side="right")
    last = np.maximum(at, 1) - 1
    inside = np.minimum(edges, ranges.ends[last]) - np.minimum(
        edges, ranges.starts[last]
    )
    return np.where(at > 0, before[last] + inside, np.uint64(0))


def _legend(
    seen: set[Look], marks: dict[Look, str], width: int, paint: Paint
) -> list[str]:
    # The looks that occur, as many on a line as fit; codes of colour take no room.
    lines, used = [""], 0
    for look, label in (LABELS | PLACE_LABELS).items():
        if look not in seen:
            continue
        room = len(marks[look]) + 1 + len(label)
        if used and used + 3 + room > width:
            lines.append("")
            used = 0
        lines[-1] += "   " if used else ""
        lines[-1] += f"{paint(LOOK_STYLES[look], marks[look])} {label}"
        used += room + 3 * bool(used)
    return lines
