"""Read a memory map from the package's own JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from msgspec import UNSET, UnsetType

from e820pool.abi.e820 import E820_DTYPE, table_of
from e820pool.documents import (
    CheckedRow,
    Document,
    FindingDocument,
    Pair,
    document_text,
    read_kind,
)
from e820pool.errors import BadImageError, InputError
from e820pool.memory_devices import MemoryDevices
from e820pool.memory_map import MemoryMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from e820pool.range_lists import StartCount, StartEnd

__all__ = (
    "MemoryMapDocument",
    "Pairs",
    "device_keys",
    "devices_of",
    "map_json_lines",
    "read_long_map_json",
    "read_map_json",
)

# Longer ones are cut: a path or a sentence has less.
_ORIGIN = 500
_PIECE = 4096

_ENTRIES = re.compile(r'"entries"[ \t\r\n]*:[ \t\r\n]*\[')
_NUMBERS = re.compile(r"[0-9,\[\] \t\r\n]*")
# So much is taken apart at a time.
_CHARS = 1 << 16
_SHOWN = 40


Pairs = tuple[Pair, ...] | None | UnsetType
"""``[start, size]`` in bytes of each; null, or no key, where nothing is known."""


class MemoryMapDocument(Document, frozen=True, kw_only=True, tag="memory-map"):
    """A map: ``entries`` are ``[addr, size, type]`` in source order.

    ``memory_devices`` is where memory devices are, ``hotplug_regions`` where they may
    lie.
    """

    origin: str = ""
    entries: tuple[CheckedRow, ...]
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


def map_json_lines(memory_map: MemoryMap) -> Iterator[str]:
    """Yield the lines of the document of a map; its rows are made as they are taken."""
    bare = replace(memory_map, entries=memory_map.entries[:0])
    text = document_text(MemoryMapDocument.of(bare)).removesuffix("\n")
    before, key, after = text.partition('"entries": [')
    if not len(memory_map):
        yield text
        return
    yield before + key
    last = len(memory_map) - 1
    for at in range(0, last + 1, _PIECE):
        rows = memory_map.entries[at : at + _PIECE].tolist()
        for number, (addr, size, kind) in enumerate(rows, at):
            comma = "," * (number < last)
            yield f"    [{addr}, {size}, {kind}]{comma}"
    yield f"  {after}"


def read_map_json(text: str, *, origin: str = "") -> MemoryMap:
    """Return the map of ``{"schema": 1, "kind": "memory-map", "entries": [..]}``.

    Raises:
        BadImageError: the document is not exactly so.
    """
    document = read_kind(text, MemoryMapDocument, origin)
    source = f"JSON of {document.origin[:_ORIGIN]}" if document.origin else "JSON"
    return MemoryMap(
        entries=table_of(document.entries),
        origin=f"{origin} ({source})",
        notes=tuple(note.finding() for note in document.notes),
        devices=devices_of(document.memory_devices, document.hotplug_regions, origin),
    )


def read_long_map_json(text: str, *, origin: str = "") -> MemoryMap | None:
    """Return the same map in memory of the size of its table; None where it cannot.

    A row of a parsed document is ten times as long as it is in the text. So the rows
    are taken out, some thousands at a time, and the rest is read as a short document.
    What is odd in any way is left to :func:`read_map_json`, which says what.
    """
    at = _ENTRIES.search(text)
    # With no escape in the text, and no other such word, the key can be nothing else.
    if at is None or text.count('"entries"') != 1 or "\\" in text:
        return None
    run = _NUMBERS.match(text, at.end())
    end = text.rfind("]", at.end(), run.end() if run else 0)
    if end < 0:
        return None
    try:
        frame = read_map_json(text[: at.end()] + text[end:], origin=origin)
        return replace(frame, entries=_rows_between(text, at.end(), end))
    except (BadImageError, InputError, ValueError):
        return None


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
        tuple((start, start + size) for start, size in pairs or ())
        for pairs in (devices, regions)
    )
    try:
        return MemoryDevices(**dict(zip(("devices", "regions"), spans, strict=True)))
    except InputError as exc:
        raise BadImageError(f"{where!r}: {exc}") from exc


# Of a text of digits, brackets, commas and blanks, which JSON may refuse.
def _rows_between(text: str, start: int, end: int) -> NDArray[Any]:
    table = np.empty(text.count("[", start, end), E820_DTYPE)
    nr_rows = 0
    while start < end and not (nr_rows and text[start:end].isspace()):
        stop = text.find("]", start + _CHARS, end) + 1 or end
        part = text[start:stop]
        if nr_rows:
            comma, part = part[: (at := part.find(",") + 1)], part[at:]
            if comma.strip() != ",":
                raise ValueError(part[:_SHOWN])
        rows = json.loads(f"[{part}]")
        table[nr_rows : nr_rows + len(rows)] = table_of(rows)
        nr_rows += len(rows)
        if not rows or nr_rows > table.size:
            raise ValueError(part[:_SHOWN])
        start = stop
    if nr_rows != table.size:
        raise ValueError(f"{nr_rows} of {table.size} rows")
    return table


def _pairs(spans: Iterable[StartEnd]) -> tuple[StartCount, ...]:
    return tuple((start, end - start) for start, end in spans)
