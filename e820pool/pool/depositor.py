"""The sizes in which the hypervisor's driver deposits.

hv_call_deposit_pages() and hv_call_create_vp(), arch/x86/hyperv/hv_proc.c, 6.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("HV_DEPOSIT_MAX", "PAGES_BEFORE_VP", "split_calls")

#: A hypercall's input is one page of u64s, of which the first is the partition id.
HV_DEPOSIT_MAX = PAGE_SIZE // 8 - 1

PAGES_BEFORE_VP = 90
"""Deposited to a child partition before a virtual processor is made (6.1)."""


def split_calls(nr_pages: int) -> Iterator[int]:
    """Yield how many pages each call deposits: the maximum, then what remains."""
    while nr_pages > 0:
        yield min(nr_pages, HV_DEPOSIT_MAX)
        nr_pages -= HV_DEPOSIT_MAX
