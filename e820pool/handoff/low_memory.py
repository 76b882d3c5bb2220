"""Memory below 1 MiB, which no table keeps a kernel from reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import InputError
from e820pool.extents import PAGE_SHIFT, ExtentSet
from e820pool.handoff.placement import LOW_LIMIT

if TYPE_CHECKING:
    from e820pool.deposits import DepositLedger

__all__ = ("SCANNED_PAGES", "SCAN_SOURCE", "validate_above_low_memory")

SCANNED_PAGES = ExtentSet([(0x0, 0x1), (0x80, 0xA0)])
"""Pages that kernels search for firmware's tables, RESERVED or not: the BIOS data
area (arch/x86/kernel/ebda.c), the MP table in the first KiB and the last of 640
(arch/x86/kernel/mpparse.c default_find_smp_config()), the iBFT from 512 KiB on
(drivers/firmware/iscsi_ibft_find.c). Kernels 6.1 and 7.3 read just these in a boot."""

SCAN_SOURCE = (
    "arch/x86/kernel/mpparse.c default_find_smp_config(), "
    "drivers/firmware/iscsi_ibft_find.c reserve_ibft_region()"
)
"""The kernel functions that search them."""

_LOW_PAGES = ExtentSet([(0, LOW_LIMIT >> PAGE_SHIFT)])


def validate_above_low_memory(ledger: DepositLedger) -> None:
    """Raise InputError for a deposit below 1 MiB.

    Some of it is read whatever the table says; and where a table with fewer than
    two entries left is refused, the map that kernels up to 7.0 make up instead calls
    RAM there RAM, so that monotone safety would not hold.
    """
    low = ledger.extents & _LOW_PAGES
    if not low:
        return
    start_pfn = next(iter(low))[0]
    one = next(d for d in ledger if d.start_pfn <= start_pfn < d.end_pfn)
    raise InputError(
        f"deposit {one} begins below {LOW_LIMIT:#x}: kernels look for firmware's "
        "tables there, RESERVED or not"
    )
