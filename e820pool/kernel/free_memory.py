"""Free memory above 1 MiB: for page tables, and for an initrd that is not in RAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SHIFT, PAGE_SIZE, ByteRangeSet
from e820pool.kernel.boot_end import BootEnd
from e820pool.kernel.end_of_ram import max_pfn
from e820pool.kernel.memblock import reserved_while_mapping

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot

__all__ = (
    "ENDLESS_WORK",
    "INITRD_TOO_LARGE",
    "NO_FREE_MEMORY",
    "NO_PLACE_FOR_INITRD",
    "find_endless_work",
    "find_no_free_memory",
    "find_no_place_for_initrd",
)

#: Nothing is free above 1 MiB.
NO_FREE_MEMORY = BootEnd(
    id="no-free-memory",
    words="alloc_low_pages: can not alloc memory",
    source="6.1 arch/x86/mm/init.c alloc_low_pages()",
)
#: Nothing that is free is as large.
NO_PLACE_FOR_INITRD = BootEnd(
    id="no-place-for-initrd",
    words="Cannot find place for new RAMDISK",
    source="6.1 arch/x86/kernel/setup.c relocate_initrd()",
)
#: Before 5.10.
INITRD_TOO_LARGE = BootEnd(
    id="initrd-too-large",
    words="initrd too large to handle: half of memory or more",
    source="4.4, 4.19 arch/x86/kernel/setup.c reserve_initrd()",
)
#: 4.18 and 4.19.
ENDLESS_WORK = BootEnd(
    id="endless-work",
    words="stuck in reserve_bootmem_region: too much is reserved",
    source="4.19 mm/page_alloc.c reserve_bootmem_region()",
)

_PAGE_MASK = PAGE_SIZE - 1
_LAST_PAGE = (1 << 64) - PAGE_SIZE
# Between what was seen to be done soon, 1 TiB, and what was not, 64 TiB.
_MOST_RESERVED_BYTES = 32 << 40


def find_no_free_memory(boot: EarlyBoot) -> None:
    """Note a boot in which all memory above 1 MiB is in use already.

    The kernel image, the initrd and nodes are in use. A kernel that finds a little
    more may still end for want of it later; that is not said here.
    Linux 6.1 arch/x86/mm/init.c alloc_low_pages(); 5.10 to 7.3 alike.
    """
    if boot.profile.has("memblock") and not _free(boot):
        boot.end_later(NO_FREE_MEMORY)


def find_no_place_for_initrd(boot: EarlyBoot) -> None:
    """Note an initrd outside of memory that there is no place to copy to.

    Before 5.10 also one that is as large as half of memory, wherever it is.
    Linux 4.19, 6.1 arch/x86/kernel/setup.c reserve_initrd(), relocate_initrd(); 5.10
    to 7.3 alike.
    """
    where = boot.inp.initrd
    if where is None or not boot.profile.has("memblock"):
        return
    if boot.profile.has("initrd-below-half-of-memory"):
        half = _mapped_bytes(boot) >> 1
        if where.size >= half:
            boot.end_later(INITRD_TOO_LARGE)
    start, end = where.start & ~_PAGE_MASK, (where.end + _PAGE_MASK) & ~_PAGE_MASK
    if boot.memory_bytes().contains(start, end):
        return
    if all(high - low < end - start for low, high in _free(boot)):
        boot.end_later(NO_PLACE_FOR_INITRD)


def find_endless_work(boot: EarlyBoot) -> None:
    """Note gaps so large that a kernel which reserves them is busy with their pages.

    Linux 4.19.0 mm/page_alloc.c reserve_bootmem_region().
    """
    if boot.profile.has("gaps-reserved"):
        reserved = reserved_while_mapping(boot)
        # The number of the page behind the last one wraps to 0: none is visited.
        sizes = (high - low for low, high in reserved if high <= _LAST_PAGE)
        if sum(sizes) >= _MOST_RESERVED_BYTES:
            boot.end_later(ENDLESS_WORK)


def _free(boot: EarlyBoot) -> ByteRangeSet:
    return boot.memory_bytes() - reserved_while_mapping(boot)


# memblock_mem_size(max_pfn_mapped).
def _mapped_bytes(boot: EarlyBoot) -> int:
    counts_acpi = boot.profile.has("max-pfn-counts-acpi")
    end = max_pfn(boot.table.rows, counts_acpi=counts_acpi) << PAGE_SHIFT
    mapped = ByteRangeSet([(0, end)]) & boot.memory_bytes()
    return sum(high - low for low, high in mapped)
