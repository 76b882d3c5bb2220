"""The firmware's map and a pool: what pages were before, and go back to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SIZE, ExtentSet
from e820pool.memory_map import MemoryMap

if TYPE_CHECKING:
    from e820pool.deposits import DepositLedger

__all__ = ("firmware_map_before", "mismatched_types")


def firmware_map_before(memory_map: MemoryMap, ledger: DepositLedger) -> MemoryMap:
    """Return the map with the ledger's pages turned back to their firmware types.

    For a map that an earlier handoff carved, as /sys/firmware/memmap shows it
    after a kexec; of the firmware's own map the flattened form comes back.

    Raises:
        InputError: an entry reaches 2^64.
    """
    flat = memory_map.flatten()
    pages = ledger.extents.to_bytes()
    rows = [
        (start, end - start, kind)
        for kind in sorted(set(flat.entries["type"].tolist()))
        for start, end in flat.bytes_of(kind) - pages
    ]
    rows += [
        (d.start_pfn * PAGE_SIZE, d.nr_pages * PAGE_SIZE, d.firmware_type)
        for d in ledger
    ]
    before = MemoryMap.of(rows, origin=memory_map.origin)
    return replace(before, devices=memory_map.devices).flatten()


def mismatched_types(memory_map: MemoryMap, ledger: DepositLedger) -> ExtentSet:
    """Return the ledger's pages that are not of their firmware type in the map."""
    wrong = ExtentSet()
    for kind in sorted({d.firmware_type for d in ledger}):
        claimed = ExtentSet(
            (d.start_pfn, d.end_pfn) for d in ledger if d.firmware_type == kind
        )
        wrong = wrong | (claimed - memory_map.bytes_of(kind).pages_inside())
    return wrong
