"""A map as a plain-text table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.sweep import distinct
from e820pool.type_words import TYPE_WITHOUT_NUMBER, log_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.memory_devices import MemoryDevices
    from e820pool.memory_map import MemoryMap

__all__ = ("device_lines", "human_size", "map_lines", "type_label")

_HEADERS = ("#", "first byte", "last byte", "size", "type")
_AROUND = 2  # a column is wider than its headline
_PIECE = 4096
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def human_size(size: int) -> str:
    """Return bytes in the largest unit that leaves a number of 1 or more.

    ``639 KiB``, ``2.99 GiB``; what is not whole has three digits, rounded down.
    """
    unit = max(0, min((size.bit_length() - 1) // 10, len(_UNITS) - 1))
    whole, remainder = divmod(size, 1 << 10 * unit)
    if not remainder:
        return f"{whole} {_UNITS[unit]}"
    digits = 2 - (whole >= 10) - (whole >= 100)
    fraction = str(remainder * 1000 >> 10 * unit).zfill(3)[: max(digits, 0)]
    return f"{whole}{'.' * bool(fraction)}{fraction} {_UNITS[unit]}"


def type_label(kind: int) -> str:
    """Return the kernel's word for a type; what has none is named by number."""
    return "unknown" if kind == TYPE_WITHOUT_NUMBER else log_words(kind, "3.5")


def map_lines(memory_map: MemoryMap) -> Iterator[str]:
    """Yield a headline, then a line an entry: number, first and last byte, size, type.

    A map of a million entries is said in pieces, so that it is held once.
    """
    table = memory_map.entries
    lasts = table["addr"] + table["size"] - np.uint64(1)
    sizes = {value: human_size(value) for value in distinct(table["size"]).tolist()}
    labels = {value: type_label(value) for value in distinct(table["type"]).tolist()}
    tops = [int(column.max(initial=0)) for column in (table["addr"], lasts)]
    widest = (
        str(max(len(table) - 1, 0)),
        *(f"{top:#014x}" for top in tops),
        max(sizes.values(), key=len, default=""),
    )
    pairs = zip(_HEADERS, widest, strict=False)
    widths = [max(len(header) + _AROUND, len(cell)) for header, cell in pairs]
    at_width, first_width, last_width, size_width = widths
    form = "  ".join(f"{{:>{width}}}" for width in widths) + "  {}"
    yield form.format(*_HEADERS)
    for at in range(0, len(table), _PIECE):
        piece = slice(at, at + _PIECE)
        rows = zip(table[piece].tolist(), lasts[piece].tolist(), strict=True)
        for number, ((addr, size, kind), last) in enumerate(rows, at):
            yield (
                f"{number:>{at_width}}  {f'{addr:#014x}':>{first_width}}  "
                f"{f'{last:#014x}':>{last_width}}  {sizes[size]:>{size_width}}  "
                f"{labels[kind]}"
            )


def device_lines(devices: MemoryDevices | None) -> Iterator[str]:
    """Yield a line for each place at which memory can be added; none where unknown."""
    if devices is None:
        return
    for (start, end), label in (
        *((span, "memory device") for span in devices.devices),
        *((span, "memory devices may lie in") for span in devices.regions),
    ):
        yield f"{label} {start:#014x} to {end - 1:#014x}, {human_size(end - start)}"
    if not (devices.devices or devices.regions):
        yield "no memory devices"
