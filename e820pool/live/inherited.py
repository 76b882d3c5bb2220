"""The pool that the running kernel inherited: by its record, or by what was kept.

What is kept on disk of each load is the record, where no loader carries one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.documents import CheckedRow, Document, Part, document_text, read_kind
from e820pool.memory_map import MemoryMap
from e820pool.pool.claims import firmware_map_before
from e820pool.pool.rebuild import RebuildResult, rebuild
from e820pool.sources.files import read_file
from e820pool.sources.live_machine import LiveMachine, read_live_machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = (
    "KEPT_FILE",
    "STATE_FOLDER",
    "KeptHandoff",
    "encode_kept",
    "firmware_map_of",
    "inherited_pool",
    "kept_for",
    "parse_kept",
    "pool_of_kept",
    "read_kept",
)

STATE_FOLDER = Path("/var/lib/e820pool")
"""Where what was handed over last is kept."""


KEPT_FILE = "handoff.json"
"""The name in the state folder."""


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
    table: tuple[CheckedRow, ...]
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
    table: tuple[CheckedRow, ...]
    firmware: tuple[CheckedRow, ...]

    def __post_init__(self) -> None:
        try:
            bytes.fromhex(self.record)
        except ValueError as exc:
            raise ValueError("record is no text of hex digits") from exc
        # Neither file nor table of ours has an entry that reaches 2^64.
        for addr, size, _ in (*self.table, *self.firmware):
            if addr + size >= 1 << 64:
                raise ValueError(f"entry at {addr:#x} of {size:#x} bytes reaches 2^64")


class _KeptDocument(Document, frozen=True, kw_only=True, tag="kept-handoffs"):
    handoffs: tuple[_KeptPart, ...]


def read_kept(folder: Path) -> tuple[KeptHandoff, ...]:
    """Return what was kept at the last loads, the latest last; maybe nothing.

    Raises:
        InputError: the file cannot be read.
        BadImageError: it is not of that form.
    """
    path = folder / KEPT_FILE
    if not path.is_file():
        return ()
    return parse_kept(read_file(path).decode("utf-8", "replace"), str(path))


def inherited_pool(
    machine: LiveMachine, kept: KeptHandoff | None
) -> RebuildResult | None:
    """Return what the running kernel has of a pool, None where nothing says that.

    A node of its own chain comes first. ``kept`` is the load that started this kernel,
    as :func:`kept_for` tells it.
    """
    record = machine.handoff.record_bytes() if machine.handoff is not None else None
    if record is not None:
        return rebuild(machine.view, record, machine.table)
    if kept is None or not kept.record:
        return None
    result = rebuild(machine.view, kept.record, kept.firmware_map)
    return replace(result, carrier="file")


def pool_of_kept(folder: Path) -> RebuildResult | None:
    """Return the pool of this machine from what was kept alone, None without it.

    Raises:
        InputError, BadImageError: this machine, or the file, cannot be read.
    """
    kept = read_kept(folder)
    if not kept:
        return None
    machine = read_live_machine()
    ours = kept_for(kept, machine.table, machine.boot_id)
    return None if ours is None else inherited_pool(machine, ours)


def firmware_map_of(
    machine: LiveMachine, inherited: RebuildResult | None, kept: KeptHandoff | None
) -> MemoryMap:
    """Return the firmware's own map, before any deposit.

    Where the pool was refused it is the table as it stands, RESERVED entries and all:
    what nobody can vouch for is not turned back into RAM.
    """
    if inherited is None or inherited.ledger is None:
        return machine.table
    if inherited.carrier == "file" and kept is not None:
        # What can be added is what the machine says now.
        return replace(kept.firmware_map, devices=machine.table.devices)
    return firmware_map_before(machine.table, inherited.ledger)
