"""The range of the running kernel image becomes RAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.kernel.boot_end import BootEnd

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot

__all__ = ("KERNEL_UNMAPPED", "find_unmapped_kernel", "force_kernel_range")

#: A full table had no room for it.
KERNEL_UNMAPPED = BootEnd(
    id="kernel-unmapped",
    words="crash in setup_arch: the kernel image is no memory",
    source="6.1 arch/x86/kernel/setup.c e820_add_kernel_range()",
)


def force_kernel_range(boot: EarlyBoot) -> None:
    """Replace whatever lies in the image's range by RAM, unless it is RAM already.

    A deposit under the image is re-typed here. The table is not sanitised: the
    next step does that. Linux 6.1 arch/x86/kernel/setup.c
    e820_add_kernel_range().
    """
    where = boot.inp.kernel_range
    if where is None or not boot.profile.has("kernel-range-forced"):
        return
    addr, end = where
    if boot.table.covers(addr, end, E820_TYPE_RAM):
        return
    boot.warn("kernel-range-not-ram")
    boot.table.remove(addr, end - addr, None)
    boot.table.add(addr, end - addr, E820_TYPE_RAM)


def find_unmapped_kernel(boot: EarlyBoot) -> None:
    """Note a kernel image that is no memory: its page tables lie in it.

    That is so when the table had no room for the image's range. Only memory is
    mapped. Linux 6.1 arch/x86/mm/init.c init_mem_mapping().
    """
    where = boot.inp.kernel_range
    if where is None or boot.profile.has("direct-map-covers-holes"):
        return
    if not boot.memory_bytes().contains(*where):
        boot.end_later(KERNEL_UNMAPPED)
