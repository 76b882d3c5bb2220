"""The pool that the running kernel inherited: by its record, or by what was kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.live.kept import KEPT_FILE, KeptHandoff, kept_for, parse_kept
from e820pool.pool.claims import firmware_map_before
from e820pool.pool.rebuild import RebuildResult, rebuild
from e820pool.sources.files import read_file
from e820pool.sources.live_machine import LiveMachine, read_live_machine

if TYPE_CHECKING:
    from e820pool.memory_map import MemoryMap

__all__ = (
    "STATE_FOLDER",
    "firmware_map_of",
    "inherited_pool",
    "pool_of_kept",
    "read_kept",
)

STATE_FOLDER = Path("/var/lib/e820pool")
"""Where what was handed over last is kept."""


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
    as :func:`~e820pool.live.kept.kept_for` tells it.
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
