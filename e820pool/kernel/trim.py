"""What BIOSes call RAM and is not: page 0 and 640K to 1M."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.extents import PAGE_SIZE, ByteRangeSet

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot

__all__ = ("TRIMMED_PAGES", "trim_bios_range")

_BIOS_BEGIN = 0xA_0000
_BIOS_END = 0x10_0000

TRIMMED_PAGES = ByteRangeSet([(0, PAGE_SIZE), (_BIOS_BEGIN, _BIOS_END)]).pages_inside()
"""What every kernel takes from RAM by itself: page 0 becomes RESERVED, the ISA hole is
removed."""


def trim_bios_range(boot: EarlyBoot) -> None:
    """Make page 0 RESERVED and remove RAM from the BIOS area, then sanitise.

    Linux 6.1 arch/x86/kernel/setup.c trim_bios_range().
    """
    if not boot.profile.has("bios-range-trimmed"):
        return
    table = boot.table
    table.retype(0, PAGE_SIZE, E820_TYPE_RAM, E820_TYPE_RESERVED)
    table.remove(_BIOS_BEGIN, _BIOS_END - _BIOS_BEGIN, E820_TYPE_RAM)
    boot.sanitize()
