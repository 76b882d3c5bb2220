"""What is kept on disk of each load: the record, where no loader carries one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from e820pool.documents import Document, Part, Row, document_text, read_kind
from e820pool.memory_map import MemoryMap

__all__ = (
    "KEPT_FILE",
    "KeptHandoff",
    "encode_kept",
    "kept_for",
    "parse_kept",
)

KEPT_FILE = "handoff.json"
"""The name in the state folder."""

_U64 = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHandoff:
    """What was handed over at one load.

    Attributes:
        boot_id: the boot during which it was loaded: not the one that it started.
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

    What was loaded during this boot has not been started, even where its table is the
    same. Of several the last counts.
    """
    for handoff in reversed(kept):
        if handoff.boot_id != boot_id and handoff.started(shown):
            return handoff
    return None


def encode_kept(kept: Iterable[KeptHandoff]) -> str:
    """Return the file's text, the latest load last."""
    handoffs = tuple(
        _KeptPart(
            boot_id=handoff.boot_id,
            record=handoff.record.hex(),
            table=handoff.table,
            firmware=tuple(handoff.firmware_map.rows()),
        )
        for handoff in kept
    )
    return document_text(_KeptDocument(handoffs=handoffs))


def parse_kept(text: str, origin: str) -> tuple[KeptHandoff, ...]:
    """Return what a file holds.

    Raises:
        BadImageError: it is no such file; ``origin`` names it.
    """
    document = read_kind(text, _KeptDocument, origin)
    return tuple(
        KeptHandoff(
            boot_id=part.boot_id,
            table=part.table,
            firmware_map=MemoryMap.of(part.firmware, f"{origin}: handoffs[{at}]"),
            record=bytes.fromhex(part.record),
        )
        for at, part in enumerate(document.handoffs)
    )


class _KeptPart(Part, frozen=True, kw_only=True):
    boot_id: str = ""
    record: str = ""  # hex digits
    table: tuple[Row, ...]
    firmware: tuple[Row, ...]

    def __post_init__(self) -> None:
        try:
            bytes.fromhex(self.record)
        except ValueError as exc:
            raise ValueError("record is no text of hex digits") from exc
        # Neither file nor table of ours has an entry that reaches 2^64.
        for addr, size, _ in (*self.table, *self.firmware):
            if addr + size >= _U64:
                raise ValueError(f"entry at {addr:#x} of {size:#x} bytes reaches 2^64")


class _KeptDocument(Document, frozen=True, kw_only=True, tag="kept-handoffs"):
    handoffs: tuple[_KeptPart, ...]
