"""Say values as JSON documents: plain numbers, stable keys, one head."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.findings import Finding
    from e820pool.memory_map import MemoryMap

__all__ = (
    "SCHEMA",
    "document",
    "finding_value",
    "json_line",
    "json_text",
    "memory_map_document",
)

SCHEMA = 1  #: The schema number of every document that is written.


def document(kind: str, **parts: Any) -> dict[str, Any]:
    """Return the object that every document is: the head, then ``parts``."""
    return {"schema": SCHEMA, "kind": kind, **parts}


def finding_value(finding: Finding) -> dict[str, Any]:
    """Return a finding; ``extents`` are ``[base_pfn, nr_pages]``."""
    return {
        "id": finding.id,
        "level": finding.level,
        "message": finding.message,
        "source": finding.source,
        "extents": [[start, end - start] for start, end in finding.extents],
    }


def memory_map_document(memory_map: MemoryMap) -> dict[str, Any]:
    """Return the map: ``entries`` are ``[addr, size, type]`` in source order."""
    return document(
        "memory-map",
        origin=memory_map.origin,
        entries=[list(row) for row in memory_map.rows()],
        notes=[finding_value(finding) for finding in memory_map.notes],
    )


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
