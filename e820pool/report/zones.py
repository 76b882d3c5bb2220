"""Cut the address space into the stretches that a picture of a map shows."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
)
from e820pool.extents import ByteRangeSet, ExtentSet, Span
from e820pool.handoff.hot_add import KEPT_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from e820pool.memory_devices import MemoryDevices
    from e820pool.memory_map import MemoryMap

__all__ = (
    "LABELS",
    "PLACE_LABELS",
    "Look",
    "address_label",
    "deposits_between",
    "device_looks",
    "drawn_devices",
    "drawn_zones",
    "look_of_type",
    "looks_of",
)

_MIB, _4_GIB = 1 << 20, 1 << 32
# At most so many stretches above 4 GiB are drawn apart; the rest are in the last.
_HIGH_ZONES = 12

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
# Numbers with more digits than an address in hex help nobody.
_LONGEST = 100_000


class Look(IntEnum):
    """What a place in a picture looks like."""

    NOTHING = 0
    RAM = 1
    RESERVED = 2
    ACPI = 3
    OTHER = 4
    DEPOSITED = 5
    DEVICE = 6
    PLUGGABLE = 7


LABELS = {
    Look.RAM: "usable",
    Look.RESERVED: "reserved",
    Look.ACPI: "ACPI",
    Look.OTHER: "other types",
    Look.DEPOSITED: "deposited",
    Look.NOTHING: "no entry",
}
"""The words of a legend."""

PLACE_LABELS = {
    Look.DEVICE: "memory device",
    Look.PLUGGABLE: "memory devices may lie here",
}
"""The words for what a bar of its own shows: no entry of a table says them."""

_LOOK_OF_TYPE = {
    E820_TYPE_RAM: Look.RAM,
    E820_TYPE_RESERVED: Look.RESERVED,
    E820_TYPE_ACPI: Look.ACPI,
    E820_TYPE_NVS: Look.ACPI,
}


def address_label(addr: int) -> str:
    """Return an address as a whole number of its largest unit, else in hex.

    ``0``, ``640 KiB``, ``25 GiB``, ``65520 GiB``, ``0x3ffc04000000``.
    """
    if not addr:
        return "0"
    unit = min((addr & -addr).bit_length() - 1, 40) // 10
    count = addr >> 10 * unit
    return f"{count} {_UNITS[unit]}" if unit and count < _LONGEST else f"{addr:#x}"


def drawn_zones(maps: Sequence[MemoryMap]) -> tuple[Span, ...]:
    """Return the stretches in which the maps have entries, in order.

    Each is drawn to one scale. Memory devices count as entries. The first MiB and the
    rest below 4 GiB have a scale of their own, since all the small ranges lie there.
    Above, a new stretch begins after every gap that is longer than all that is used
    there.

    Raises:
        InputError: an entry reaches 2^64.
    """
    used = ByteRangeSet()
    for memory_map in maps:
        used |= memory_map.table.resolved().covered
        if memory_map.devices is not None:
            used |= ByteRangeSet(memory_map.devices.devices)
    low = used & ByteRangeSet([(_MIB, _4_GIB)])
    zones = [Span(0, _MIB)] if used.overlaps(0, _MIB) else []
    if low:
        zones.append(Span(_MIB, _round_end(int(low.ends[-1]))))
    return (*zones, *_high_zones(used - ByteRangeSet([(0, _4_GIB)])))


def _round_end(end: int) -> int:
    # Devices fill what is left below 4 GiB: shown as a whole once RAM comes near.
    return _4_GIB if end > _4_GIB // 2 else end


def _high_zones(used: ByteRangeSet) -> list[Span]:
    zones: list[Span] = []
    all_used = used.total_bytes
    for start, end in used:
        near = zones and start - zones[-1].end <= all_used
        if near or len(zones) == _HIGH_ZONES:
            zones[-1] = Span(zones[-1].start, end)
        else:
            zones.append(Span(start, end))
    return zones


def look_of_type(kind: int) -> Look:
    """Return what an e820 type looks like."""
    return _LOOK_OF_TYPE.get(kind, Look.OTHER)


def deposits_between(before: MemoryMap, after: MemoryMap) -> ByteRangeSet:
    """Return the bytes that were RAM before and are a deposit's type after."""
    kept = ByteRangeSet()
    for kind in KEPT_TYPES:
        kept |= after.bytes_of(kind)
    return before.bytes_of(E820_TYPE_RAM) & kept


def drawn_devices(maps: Sequence[MemoryMap]) -> MemoryDevices | None:
    """Return where memory can be added, by the first map that says it."""
    known = (memory_map.devices for memory_map in maps)
    return next((devices for devices in known if devices is not None), None)


def device_looks(devices: MemoryDevices | None) -> list[tuple[Look, ByteRangeSet]]:
    """Return which bytes are a memory device, and in which others one may lie."""
    if devices is None:
        return []
    plugged = ByteRangeSet(devices.devices)
    looks = (
        (Look.DEVICE, plugged),
        (Look.PLUGGABLE, ByteRangeSet(devices.regions) - plugged),
    )
    return [(look, ranges) for look, ranges in looks if ranges]


def looks_of(
    memory_map: MemoryMap, deposits: ByteRangeSet | ExtentSet | None = None
) -> list[tuple[Look, ByteRangeSet]]:
    """Return which bytes have which look; deposits lie on top and come last.

    Raises:
        InputError: an entry reaches 2^64.
    """
    flat = memory_map.table.resolved()
    kinds = _looks(flat.entries["type"])
    looks = [
        (look, flat.where(kinds == look).covered)
        for look in (Look.RAM, Look.RESERVED, Look.ACPI, Look.OTHER)
    ]
    if deposits is not None:
        as_bytes = deposits.to_bytes() if isinstance(deposits, ExtentSet) else deposits
        looks.append((Look.DEPOSITED, as_bytes))
    return [(look, ranges) for look, ranges in looks if ranges]


def _looks(types: NDArray[Any]) -> NDArray[Any]:
    looks = np.full(types.shape, Look.OTHER, np.uint8)
    for kind, look in _LOOK_OF_TYPE.items():
        looks[types == kind] = look
    return looks
