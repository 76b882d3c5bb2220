"""What is kept on disk of each load: the record, where no loader carries one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from e820pool.errors import BadImageError
from e820pool.memory_map import MemoryMap
from e820pool.sources.json_text import parse_document, shown_value, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e820pool.kernel.view import Row

__all__ = (
    "KEPT_FILE",
    "KeptHandoff",
    "encode_kept",
    "kept_for",
    "parse_kept",
)

KEPT_FILE = "handoff.json"
"""The name in the state folder."""

_KIND = "kept-handoffs"
_U64 = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHandoff:
    """Hold what was handed over at one load.

    Attributes:
        boot_id: the boot in which it was loaded, which it cannot have started.
        table: as the next kernel must show it: where it shows another, this handoff
            is not the one that started it, and nothing of it is believed.
        firmware_map: the machine's own.
        record: the pool record's bytes, b"" without deposits.
    """

    boot_id: str
    table: tuple[Row, ...]
    firmware_map: MemoryMap
    record: bytes

    def started(self, shown: MemoryMap) -> bool:
        """Return whether a kernel that shows this table got this handoff."""
        return MemoryMap.of(self.table).flatten() == shown.flatten()


def kept_for(
    kept: Sequence[KeptHandoff], shown: MemoryMap, boot_id: str
) -> KeptHandoff | None:
    """Return the handoff that started the kernel with this table, None without one.

    What was loaded since the boot has not been started yet, even where its table is
    the same; of several the last is it.
    """
    for one in reversed(kept):
        if one.boot_id != boot_id and one.started(shown):
            return one
    return None


def encode_kept(kept: Iterable[KeptHandoff]) -> str:
    """Return the file's text, the latest load last."""
    document = {
        "schema": 1,
        "kind": _KIND,
        "handoffs": [
            {
                "boot_id": one.boot_id,
                "record": one.record.hex(),
                "table": [list(row) for row in one.table],
                "firmware": [list(row) for row in one.firmware_map.rows()],
            }
            for one in kept
        ],
    }
    return json.dumps(document) + "\n"


def parse_kept(text: str, origin: str) -> tuple[KeptHandoff, ...]:
    """Return what a file holds.

    Raises:
        BadImageError: it is no such file; ``origin`` names it.
    """
    found = parse_document(text, _KIND, origin).get("handoffs")
    if not isinstance(found, list):
        raise BadImageError(f"{origin!r} has no array 'handoffs'")
    return tuple(
        _handoff(raw, f"{origin}: handoffs[{at}]") for at, raw in enumerate(found)
    )


def _handoff(raw: Any, what: str) -> KeptHandoff:
    if not isinstance(raw, dict):
        raise BadImageError(f"{what} is {shown_value(raw)}, no object")
    try:
        record = bytes.fromhex(raw.get("record", ""))
    except (TypeError, ValueError) as exc:
        raise BadImageError(f"{what}: record is no text of hex digits") from exc
    return KeptHandoff(
        boot_id=str(raw.get("boot_id", "")),
        table=tuple(_rows(raw, "table", what)),
        firmware_map=MemoryMap.of(_rows(raw, "firmware", what), origin=what),
        record=record,
    )


def _rows(found: dict[str, Any], key: str, origin: str) -> list[Row]:
    rows = found.get(key)
    if not isinstance(rows, list):
        raise BadImageError(f"{origin} has no array {key!r}")
    return [_row(row, f"{origin}: {key}[{at}]") for at, row in enumerate(rows)]


def _row(row: Any, what: str) -> Row:
    if not isinstance(row, list) or len(row) != 3:
        raise BadImageError(f"{what} is not [addr, size, type]")
    addr = whole_number(row[0], what, _U64)
    # Neither file nor table of ours has an entry that reaches 2^64.
    size = whole_number(row[1], what, _U64 - addr)
    return addr, size, whole_number(row[2], what, 1 << 32)
