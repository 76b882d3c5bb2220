"""What a set sentinel takes from the zero page before anything reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile

__all__ = ("after_sentinel",)

_LOW_HALF = (1 << 32) - 1


def after_sentinel(inp: BootInput, profile: Profile) -> BootInput:
    """Return what is left to read when the sentinel is set.

    Every such kernel clears the upper halves of the initrd's and the command
    line's address; the e820 table, its count and the setup_data pointer stay.
    A command line above 4 GiB is lost, as the kernel then looks elsewhere.
    Linux 6.1 arch/x86/include/asm/bootparam_utils.h sanitize_boot_params().
    """
    clears = ("sentinel-clears-ranges", "sentinel-keeps-list")
    if not inp.sentinel or not any(profile.has(name) for name in clears):
        return inp
    where, line = inp.cmdline_range, inp.cmdline
    if where is not None and where[0] > _LOW_HALF:
        where, line = None, ""
    return replace(inp, initrd=_low_half(inp.initrd), cmdline_range=where, cmdline=line)


def _low_half(span: tuple[int, int] | None) -> tuple[int, int] | None:
    if span is None:
        return None
    start = span[0] & _LOW_HALF
    size = (span[1] - span[0]) & _LOW_HALF
    return (start, start + size) if size else None
