"""Read a memory map from the package's own JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError, InputError
from e820pool.extents import MAX_PFN
from e820pool.findings import LEVELS, Finding
from e820pool.memory_devices import MemoryDevices
from e820pool.memory_map import MemoryMap
from e820pool.sources.json_text import (
    one_line,
    parse_document,
    shown_value,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("devices_of_json", "read_map_json")

# The kind of our JSON.
_KIND = "memory-map"

_U32_LIMIT, _U64_LIMIT = 1 << 32, 1 << 64
_ROW = (("addr", _U64_LIMIT), ("size", _U64_LIMIT), ("type", _U32_LIMIT))


def read_map_json(text: str, *, origin: str = "") -> MemoryMap:
    """Return the map of ``{"schema": 1, "kind": "memory-map", "entries": [..]}``.

    ``entries`` holds ``[addr, size, type]``, plain integers, in the order of the
    source. ``origin``, ``notes`` and ``memory_devices``, as this package writes them,
    are kept.

    Raises:
        BadImageError: the document is not exactly so.
    """
    found = parse_document(text, _KIND, origin)
    rows = found.get("entries")
    if not isinstance(rows, list):
        raise BadImageError(f"{origin!r} has no array 'entries'")
    return MemoryMap(
        entries=table_of(_row(at, row, origin) for at, row in enumerate(rows)),
        origin=_origin(found, origin),
        notes=tuple(_notes(found, origin)),
        devices=devices_of_json(found, origin),
    )


def devices_of_json(found: dict[str, Any], origin: str) -> MemoryDevices | None:
    """Return what ``memory_devices`` and ``hotplug_regions`` say; None for unknown.

    Both hold ``[start, size]`` in bytes. Without devices, or with null in their place,
    regions alone are known.

    Raises:
        BadImageError: a value has another form, or devices overlap.
    """
    keys = ("memory_devices", "hotplug_regions")
    if all(found.get(key) is None for key in keys):
        return None
    spans = [_spans(found.get(key) or [], f"{origin!r}: {key}") for key in keys]
    try:
        return MemoryDevices(devices=tuple(spans[0]), regions=tuple(spans[1]))
    except InputError as exc:
        raise BadImageError(f"{origin!r}: {exc}") from exc


def _spans(rows: object, what: str) -> Iterator[tuple[int, int]]:
    if not isinstance(rows, list):
        raise BadImageError(f"{what} is {shown_value(rows)}, no array")
    for at, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 2:
            raise BadImageError(
                f"{what}[{at}] is {shown_value(row)}, not [start, size]"
            )
        start, size = (whole_number(n, f"{what}[{at}]", _U64_LIMIT) for n in row)
        yield start, start + size


def _row(at: int, row: object, origin: str) -> tuple[int, int, int]:
    if not isinstance(row, list) or len(row) != len(_ROW):
        raise BadImageError(
            f"{origin!r}: entries[{at}] is {shown_value(row)}, not [addr, size, type]"
        )
    addr, size, kind = (
        whole_number(value, f"{origin!r}: entries[{at}].{name}", limit)
        for value, (name, limit) in zip(row, _ROW, strict=True)
    )
    return addr, size, kind


def _origin(found: dict[str, Any], origin: str) -> str:
    told = found.get("origin", "")
    if not isinstance(told, str):
        raise BadImageError(f"{origin!r}: 'origin' is no string")
    return f"{origin} (JSON of {one_line(told)})" if told else f"{origin} (JSON)"


def _notes(found: dict[str, Any], origin: str) -> list[Finding]:
    told = found.get("notes", [])
    if not isinstance(told, list):
        raise BadImageError(f"{origin!r}: 'notes' is no array")
    return [_note(at, each, origin) for at, each in enumerate(told)]


def _note(at: int, told: object, origin: str) -> Finding:
    if not isinstance(told, dict) or told.get("level") not in LEVELS:
        raise BadImageError(f"{origin!r}: notes[{at}] is no finding")
    words = [told.get("id"), told.get("message")]
    if not all(isinstance(word, str) for word in words):
        raise BadImageError(f"{origin!r}: notes[{at}] has no id or no message")
    id_, message = (one_line(str(word)) for word in words)
    extents = told.get("extents", [])
    if not isinstance(extents, list):
        raise BadImageError(f"{origin!r}: notes[{at}].extents is no array")
    return Finding(
        id=id_,
        level=told["level"],
        message=message,
        extents=tuple(
            _extent(one, f"{origin!r}: notes[{at}].extents") for one in extents
        ),
    )


def _extent(row: object, what: str) -> tuple[int, int]:
    if not isinstance(row, list) or len(row) != 2:
        raise BadImageError(f"{what} has {shown_value(row)}, not [base_pfn, nr_pages]")
    base, count = (whole_number(value, what, MAX_PFN + 1) for value in row)
    if not 0 < count <= MAX_PFN - base:
        raise BadImageError(f"{what} has {row}: the limit is PFN {MAX_PFN:#x}")
    return base, base + count
