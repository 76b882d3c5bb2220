"""The table left alone, deposits kept by descriptors of an EFI memory map.

    table      [----------------- RAM -----------------)
    EFI map    [conv.)[reserved)[conv.)[reserved)[conv.)

KASLR prefers that map to the table (process_efi_entries()). The kernel itself reads it
into its table with ``add_efi_memmap`` only (do_add_efi_memmap()), before the allocator
exists. There are no services behind it, so ``noefi``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_PMEM,
    E820_TYPE_RAM,
    E820_TYPE_UNUSABLE,
)
from e820pool.abi.efi_map import (
    EFI_CONVENTIONAL,
    EFI_DESCRIPTOR_DTYPE,
    EFI_MEMORY_WB,
    EFI_RESERVED,
    encode_efi_tables,
)
from e820pool.abi.setup_data import NODE_HEADER_BYTES, SETUP_NONE, SetupDataNode
from e820pool.extents import PAGE_SHIFT
from e820pool.handoff.encodings.carved import split_table
from e820pool.handoff.encodings.encoding import Encoding
from e820pool.handoff.encodings.whole_ram import whole_ram

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = ("EFI_MAPS",)

# EFI_UNUSABLE_MEMORY, EFI_ACPI_RECLAIM_MEMORY and so on; all others are reserved.
_KINDS = {
    E820_TYPE_RAM: EFI_CONVENTIONAL,
    E820_TYPE_UNUSABLE: 8,
    E820_TYPE_ACPI: 9,
    E820_TYPE_NVS: 10,
    E820_TYPE_PMEM: 14,
}


# Whole pages of each entry of the table that `split` would write.
def _nodes(
    memory_map: MemoryMap, ledger: DepositLedger, addr_of: Callable[[int], int]
) -> list[SetupDataNode]:
    table = split_table(memory_map, ledger)
    page = np.uint64(1 << PAGE_SHIFT)
    first = (table["addr"] + page - np.uint64(1)) // page
    last = (table["addr"] + table["size"]) // page
    table, first, last = (column[last > first] for column in (table, first, last))
    rows = np.zeros(table.size, EFI_DESCRIPTOR_DTYPE)
    rows["type"] = [_KINDS.get(kind, EFI_RESERVED) for kind in table["type"].tolist()]
    rows["phys_addr"], rows["num_pages"] = first * page, last - first
    rows["attribute"][table["type"] == E820_TYPE_RAM] = EFI_MEMORY_WB
    data = encode_efi_tables(addr_of(0) + NODE_HEADER_BYTES, rows)
    return [SetupDataNode(type=SETUP_NONE, data=data)]


def _encoding(name: str, words: str, meaning: str) -> Encoding:
    return Encoding(
        name=name,
        meaning=meaning,
        make_table=whole_ram,
        make_nodes=_nodes,
        make_words=lambda ledger: words if len(ledger) else "",
        monotone=False,
        has_efi_map=True,
    )


EFI_MAPS = (
    _encoding(
        "efi-map",
        "noefi",
        "RAM as it was, deposits reserved in an EFI memory map that goes with it",
    ),
    _encoding(
        "efi-map-added",
        "add_efi_memmap noefi",
        "the same, and add_efi_memmap has the kernel read that map, too",
    ),
)
"""Deposits in an EFI memory map, which KASLR alone reads, or the kernel as well."""
