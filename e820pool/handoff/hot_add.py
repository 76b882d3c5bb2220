"""Deposits that hold whole memory blocks: a busy type, so that no kernel adds memory.

A kernel adds each ACPI memory device that is present to its memory, after boot, unless
something busy lies in it; RESERVED is not busy. Where only RESERVED and gaps fill a
whole block with a deposit in it, our entries become type 3:

    blocks    |        |        |        |
    RESERVED     [ A )    [------ B ---------)       RAM elsewhere
    written      [RES)    [------ACPI--------)

Type 3 is no RAM and busy to every kernel, and the one such type that stock
kexec-tools hand on as it is and capture kernels get, too: specs/handoff.md.
"""

from __future__ import annotations

import numpy as np

from e820pool.abi.e820 import E820_TYPE_ACPI, E820_TYPE_RESERVED
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.handoff.encodings.carved import carved_table
from e820pool.memory_devices import NOT_BUSY_TYPES, addable_bytes
from e820pool.memory_map import MemoryMap
from e820pool.table import E820Table

__all__ = ("KEPT_TYPES", "held_bytes", "hold_blocks", "not_busy", "pages_at_risk")

KEPT_TYPES = (E820_TYPE_RESERVED, E820_TYPE_ACPI)
"""The types that our encodings give to deposits: a record that names pages of another
type is not believed."""


def not_busy(table: E820Table) -> ByteRangeSet:
    """Return the bytes that are no busy resource to a kernel with this table."""
    return ~table.bytes_but(*NOT_BUSY_TYPES)


def pages_at_risk(table: E820Table, deposits: ExtentSet) -> ExtentSet:
    """Return the deposits in blocks that a kernel adds if they are a memory device."""
    return deposits & addable_bytes(not_busy(table)).pages_inside()


def held_bytes(table: E820Table, pages: ExtentSet | None = None) -> ByteRangeSet:
    """Return the bytes of type 3 that would be at risk if they were RESERVED.

    Args:
        table: sorted and disjoint.
        pages: those in question, None for any.
    """
    entries = table.entries.copy()
    entries["type"][table.is_of(E820_TYPE_ACPI)] = E820_TYPE_RESERVED
    risky = addable_bytes(not_busy(E820Table(entries)))
    if pages is not None:
        risky &= pages.to_bytes()
    return _rows_over(table, E820_TYPE_ACPI, risky)


def hold_blocks(
    table: E820Table,
    deposits: ExtentSet,
    firmware_ram: ByteRangeSet,
) -> E820Table:
    """Return the table with a busy byte in every whole block that holds a deposit.

    Args:
        table: sorted and disjoint, deposits RESERVED.
        deposits: the pages to keep.
        firmware_ram: bytes that are RAM to the firmware; what else is RESERVED keeps
            its type, which is the firmware's.
    """
    at_risk = pages_at_risk(table, deposits)
    if not at_risk:
        return table
    held = _rows_over(table, E820_TYPE_RESERVED, at_risk.to_bytes()) & firmware_ram
    machine = MemoryMap(entries=table.entries)
    return E820Table(carved_table(machine, held, E820_TYPE_ACPI))


# The bytes of whole rows of one type in which any of ``over`` lies.
def _rows_over(table: E820Table, kind: int, over: ByteRangeSet) -> ByteRangeSet:
    rows = table.where(table.is_of(kind))
    addr, ends = rows.entries["addr"], rows.ends
    first = np.searchsorted(over.ends, addr, side="right")
    starts = np.append(over.starts, np.uint64(ByteRangeSet.LIMIT))
    hit = starts[first] < ends
    return ByteRangeSet.from_bounds(addr[hit], ends[hit])
