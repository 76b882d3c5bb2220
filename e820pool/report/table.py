"""Say a map as a table that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabulate import tabulate

from e820pool.type_words import TYPE_WITHOUT_NUMBER, log_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.memory_devices import MemoryDevices
    from e820pool.memory_map import MemoryMap

__all__ = ("device_lines", "human_size", "map_table", "type_label")

_WRAP = 1 << 64
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def human_size(size: int) -> str:
    """Return bytes in the largest unit that leaves a number of 1 or more.

    ``639 KiB``, ``2.99 GiB``; what is not whole has three digits, rounded down.
    """
    unit = max(0, min((size.bit_length() - 1) // 10, len(_UNITS) - 1))
    whole, rest = divmod(size, 1 << 10 * unit)
    if not rest:
        return f"{whole} {_UNITS[unit]}"
    digits = 2 - (whole >= 10) - (whole >= 100)
    fraction = str(rest * 1000 >> 10 * unit).zfill(3)[: max(digits, 0)]
    return f"{whole}{'.' * bool(fraction)}{fraction} {_UNITS[unit]}"


def type_label(kind: int) -> str:
    """Return the kernel's word for a type; what has none is named by number."""
    return "unknown" if kind == TYPE_WITHOUT_NUMBER else log_words(kind, "3.5")


def map_table(memory_map: MemoryMap) -> str:
    """Return a row an entry: number, first and last byte, size, type."""
    rows = [
        (at, f"{addr:#014x}", f"{(addr + size - 1) % _WRAP:#014x}", *_told(size, kind))
        for at, (addr, size, kind) in enumerate(memory_map.rows())
    ]
    return tabulate(
        rows,
        headers=("#", "first byte", "last byte", "size", "type"),
        tablefmt="plain",
        colalign=("right", "right", "right", "right", "left"),
        disable_numparse=True,
    )


def device_lines(devices: MemoryDevices | None) -> Iterator[str]:
    """Yield a line for each place at which memory can be added; none where unknown."""
    if devices is None:
        return
    for (start, end), what in (
        *((one, "memory device") for one in devices.devices),
        *((one, "memory devices may lie in") for one in devices.regions),
    ):
        size = human_size(end - start)
        yield f"{what} {start:#014x} to {end - 1:#014x}, {size}"
    if not (devices.devices or devices.regions):
        yield "no memory devices"


def _told(size: int, kind: int) -> tuple[str, str]:
    return human_size(size), type_label(kind)
