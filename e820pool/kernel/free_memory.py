"""Free memory above 1 MiB: for page tables, and for an initrd that is not in RAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SIZE
from e820pool.kernel.memblock import reserved_while_mapping
from e820pool.kernel.state import FATAL_NO_INITRD, FATAL_NO_MEMORY

if TYPE_CHECKING:
    from e820pool.extents import ByteRangeSet
    from e820pool.kernel.state import EarlyBoot

__all__ = ("find_no_free_memory", "find_no_place_for_initrd")

_PAGE_MASK = PAGE_SIZE - 1


def find_no_free_memory(boot: EarlyBoot) -> None:
    """Note a boot in which all memory above 1 MiB is in use already.

    The kernel image, the initrd and nodes are in use. A kernel that finds a little
    more may still end for want of it later; that is not said here.
    Linux 6.1 arch/x86/mm/init.c alloc_low_pages(); 5.10 to 7.3 alike.
    """
    if boot.profile.has("memblock") and not _free(boot):
        boot.end_later(FATAL_NO_MEMORY)


def find_no_place_for_initrd(boot: EarlyBoot) -> None:
    """Note an initrd outside of memory that there is no place to copy to.

    Linux 6.1 arch/x86/kernel/setup.c reserve_initrd(), relocate_initrd(); 5.10 to
    7.3 alike.
    """
    where = boot.inp.initrd
    if where is None or not boot.profile.has("memblock"):
        return
    start, end = where[0] & ~_PAGE_MASK, (where[1] + _PAGE_MASK) & ~_PAGE_MASK
    if boot.memory_bytes().contains(start, end):
        return
    if all(high - low < end - start for low, high in _free(boot)):
        boot.end_later(FATAL_NO_INITRD)


def _free(boot: EarlyBoot) -> ByteRangeSet:
    return boot.memory_bytes() - reserved_while_mapping(boot)
