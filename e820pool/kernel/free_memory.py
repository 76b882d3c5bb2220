"""Free memory above 1 MiB, without which no page tables can be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.extents import ByteRangeSet
from e820pool.kernel.memblock import early_reservations
from e820pool.kernel.state import FATAL_NO_MEMORY

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot

__all__ = ("find_no_free_memory",)

_FIRST_MIB = (0, 1 << 20)


def find_no_free_memory(boot: EarlyBoot) -> None:
    """Note a boot in which all memory above 1 MiB is in use already.

    The kernel image, the initrd and nodes are in use. A kernel that finds a little
    more may still end for want of it later; that is not said here.
    Linux 6.1 arch/x86/mm/init.c alloc_low_pages(); 5.10 to 7.3 alike.
    """
    if not boot.profile.has("memblock"):
        return
    memory = ByteRangeSet((addr, addr + size) for addr, size in boot.memory)
    taken = ByteRangeSet([_FIRST_MIB, *early_reservations(boot)])
    if not memory - taken:
        boot.end_later(FATAL_NO_MEMORY)
