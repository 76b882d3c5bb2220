"""max_pfn: where RAM ends for the kernel, and memory that lies beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_ACPI, E820_TYPE_RAM
from e820pool.extents import PAGE_SHIFT
from e820pool.kernel.boot_end import BootEnd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.kernel.state import EarlyBoot
    from e820pool.kernel.view import Row

__all__ = ("BEYOND_MAX_PFN", "find_memory_beyond", "max_pfn")

#: Until 6.14, and beyond 64 TiB.
BEYOND_MAX_PFN = BootEnd(
    id="beyond-max-pfn",
    words="crash in free_area_init: memory beyond max_pfn",
    source="6.1 mm/page_alloc.c free_area_init()",
)

# MAX_ARCH_PFN with four-level page tables: 64 TiB (2.6.32 to 7.3).
_MAX_PFN_LIMIT = 1 << 34

_U64_MASK = (1 << 64) - 1


def max_pfn(rows: Sequence[Row], *, counts_acpi: bool) -> int:
    """Return the end of the last RAM entry, in whole pages.

    Linux 6.1 arch/x86/kernel/e820.c e820_end_pfn().

    Args:
        rows: the kernel's table.
        counts_acpi: whether ACPI tables are RAM to it: ``max-pfn-counts-acpi``.
    """
    kinds = {E820_TYPE_RAM, E820_TYPE_ACPI} if counts_acpi else {E820_TYPE_RAM}
    last = 0
    for addr, size, kind in rows:
        end_pfn = ((addr + size) & _U64_MASK) >> PAGE_SHIFT
        if kind in kinds and addr >> PAGE_SHIFT < _MAX_PFN_LIMIT:
            last = max(last, end_pfn)
    return min(last, _MAX_PFN_LIMIT)


def find_memory_beyond(boot: EarlyBoot) -> None:
    """Note memory that max_pfn does not count: it belongs to no node.

    Type 128 is memory but no RAM entry; so is a setup_data node that fills the
    last page of RAM. A NUMA kernel dies of it in free_area_init().
    """
    if not boot.memory or not boot.profile.has("memblock"):
        return
    counts_acpi = boot.profile.has("max-pfn-counts-acpi")
    end_pfn = max_pfn(boot.table.rows, counts_acpi=counts_acpi)
    if max(span.end for span in boot.memory) >> PAGE_SHIFT <= end_pfn:
        return
    boot.warn("memory-beyond-max-pfn")
    numa = bool(boot.profile.config["NUMA"])
    if numa and boot.profile.has("memory-beyond-max-pfn-kills"):
        boot.end_later(BEYOND_MAX_PFN)
