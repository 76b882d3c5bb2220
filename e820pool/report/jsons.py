"""Say values as JSON documents: plain numbers, stable keys, one head."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from e820pool.findings import finding_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.deposits import Deposit
    from e820pool.extents import ExtentSet
    from e820pool.memory_devices import MemoryDevices
    from e820pool.memory_map import MemoryMap

__all__ = (
    "SCHEMA",
    "deposit_values",
    "devices_value",
    "document",
    "extent_values",
    "json_line",
    "json_text",
    "memory_map_document",
    "span_value",
)

SCHEMA = 1  #: The schema number of every document that is written.


def document(kind: str, **parts: Any) -> dict[str, Any]:
    """Return the object that every document is: the head, then ``parts``."""
    return {"schema": SCHEMA, "kind": kind, **parts}


def extent_values(extents: ExtentSet) -> list[list[int]]:
    """Return ``[base_pfn, nr_pages]`` for each extent, sorted."""
    return [list(pair) for pair in extents.pairs()]


def deposit_values(deposits: Iterable[Deposit]) -> list[dict[str, int]]:
    """Return an object for each deposit, its pages and whose they are."""
    return [
        {
            "base_pfn": one.start_pfn,
            "nr_pages": one.nr_pages,
            "owner": one.owner,
            "firmware_type": one.firmware_type,
        }
        for one in deposits
    ]


def span_value(span: tuple[int, int] | None) -> list[int] | None:
    """Return ``[start, end]`` of bytes, end exclusive; null where it is not known."""
    return None if span is None else list(span)


def memory_map_document(memory_map: MemoryMap) -> dict[str, Any]:
    """Return the map: ``entries`` are ``[addr, size, type]`` in source order."""
    known = {} if memory_map.devices is None else devices_value(memory_map.devices)
    return document(
        "memory-map",
        origin=memory_map.origin,
        entries=[list(row) for row in memory_map.rows()],
        notes=[finding_value(finding) for finding in memory_map.notes],
        **known,
    )


def devices_value(devices: MemoryDevices | None) -> dict[str, Any]:
    """Return ``memory_devices``, ``[start, size]`` each, null where they are unknown.

    ``hotplug_regions`` is there where any are known: where devices may lie.
    """
    if devices is None:
        return {"memory_devices": None}
    found: dict[str, Any] = {
        "memory_devices": [[start, end - start] for start, end in devices.devices]
    }
    if devices.regions:
        regions = [[start, end - start] for start, end in devices.regions]
        found["hotplug_regions"] = regions
    return found


def json_line(value: Any) -> str:
    """Return one value on one line, without a newline."""
    return json.dumps(value, separators=(", ", ": "), ensure_ascii=True)


def json_text(value: dict[str, Any]) -> str:
    """Return a document that people can read: rows of numbers stay on one line."""
    parts = (f"  {json_line(key)}: {_part(part)}" for key, part in value.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _part(value: Any) -> str:
    # A list of rows is one row a line.
    if not isinstance(value, list) or not value:
        return json_line(value)
    return "[\n" + ",\n".join(_rows(value)) + "\n  ]"


def _rows(values: Iterable[Any]) -> Iterable[str]:
    return (f"    {json_line(value)}" for value in values)
