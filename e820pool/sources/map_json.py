"""Read a memory map from the package's own JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from msgspec import UNSET, UnsetType

from e820pool.abi.e820 import table_of
from e820pool.documents import (
    Document,
    FindingDocument,
    Pair,
    Row,
    read_kind,
)
from e820pool.errors import BadImageError, InputError
from e820pool.memory_devices import MemoryDevices
from e820pool.memory_map import MemoryMap

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "MemoryMapDocument",
    "Pairs",
    "device_keys",
    "devices_of",
    "read_map_json",
)

# Longer ones are cut: a path or a sentence has less.
_ORIGIN = 500


Pairs = tuple[Pair, ...] | None | UnsetType
"""``[start, size]`` in bytes of each; null, or no key, where nothing is known."""


class MemoryMapDocument(Document, frozen=True, kw_only=True, tag="memory-map"):
    """A map: ``entries`` are ``[addr, size, type]`` in source order.

    ``memory_devices`` is where memory devices are, ``hotplug_regions`` where they may
    lie.
    """

    origin: str = ""
    entries: tuple[Row, ...]
    notes: tuple[FindingDocument, ...] = ()
    memory_devices: Pairs = UNSET
    hotplug_regions: Pairs = UNSET

    @classmethod
    def of(cls, memory_map: MemoryMap) -> Self:
        """Return the document of a map; of devices only where something is known."""
        devices = memory_map.devices
        return cls(
            origin=memory_map.origin,
            entries=tuple(memory_map.rows()),
            notes=FindingDocument.all_of(memory_map.notes),
            **({} if devices is None else device_keys(devices)),
        )


def read_map_json(text: str, *, origin: str = "") -> MemoryMap:
    """Return the map of ``{"schema": 1, "kind": "memory-map", "entries": [..]}``.

    Raises:
        BadImageError: the document is not exactly so.
    """
    found = read_kind(text, MemoryMapDocument, origin)
    said = f"JSON of {found.origin[:_ORIGIN]}" if found.origin else "JSON"
    return MemoryMap(
        entries=table_of(found.entries),
        origin=f"{origin} ({said})",
        notes=tuple(one.finding() for one in found.notes),
        devices=devices_of(found.memory_devices, found.hotplug_regions, origin),
    )


def device_keys(devices: MemoryDevices | None) -> dict[str, Any]:
    """Return the keys ``memory_devices`` and ``hotplug_regions`` of a document."""
    if devices is None:
        return {"memory_devices": None}
    regions = _pairs(devices.regions)
    return {
        "memory_devices": _pairs(devices.devices),
        **({"hotplug_regions": regions} if regions else {}),
    }


def devices_of(devices: Pairs, regions: Pairs, where: str) -> MemoryDevices | None:
    """Return what a document's two keys say; None where they say nothing.

    Without devices, or with null in their place, regions alone are known.

    Raises:
        BadImageError: devices overlap, or end too high; ``where`` names the source.
    """
    if not isinstance(devices, tuple) and not isinstance(regions, tuple):
        return None
    spans = (
        tuple((start, start + size) for start, size in one or ())
        for one in (devices, regions)
    )
    try:
        return MemoryDevices(**dict(zip(("devices", "regions"), spans, strict=True)))
    except InputError as exc:
        raise BadImageError(f"{where!r}: {exc}") from exc


def _pairs(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple((start, end - start) for start, end in spans)
