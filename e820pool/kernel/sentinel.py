"""What a set sentinel takes from the zero page before anything reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.boot_params import E820_TABLE_OFFSET
from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE
from e820pool.extents import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile

__all__ = ("after_sentinel",)

_LOW_HALF = (1 << 32) - 1
# _pad8 and _pad9, as offsets from e820_table: a count above 128 reads them.
_CLEARED = (
    (0xCD0 - E820_TABLE_OFFSET, 0xD00 - E820_TABLE_OFFSET),
    (0xEEC - E820_TABLE_OFFSET, None),
)


def after_sentinel(inp: BootInput, profile: Profile) -> BootInput:
    """Return what is left to read when the sentinel is set.

    Every such kernel clears the upper halves of the initrd's and the command
    line's address; the e820 table, its count and the setup_data pointer stay, and
    of entries behind the table's 128 those that lie in the EDD buffer.
    A command line above 4 GiB is lost, as the kernel then looks elsewhere.
    Linux 6.1 arch/x86/include/asm/bootparam_utils.h sanitize_boot_params().
    """
    clears = ("sentinel-clears-ranges", "sentinel-keeps-list")
    if not inp.sentinel or not any(profile.has(name) for name in clears):
        return inp
    where, line = inp.cmdline_range, inp.cmdline
    if where is not None and where[0] > _LOW_HALF:
        where, line = None, ""
    return replace(
        inp,
        table=_without_padding(inp.table),
        initrd=_low_half(inp.initrd),
        cmdline_range=where,
        cmdline=line,
    )


def _without_padding(table: NDArray[Any]) -> NDArray[Any]:
    if table.size <= E820_MAX_ENTRIES_ZEROPAGE:
        return table
    raw = np.frombuffer(table.tobytes(), np.uint8).copy()
    for start, end in _CLEARED:
        raw[start:end] = 0
    return raw.view(table.dtype)


def _low_half(span: Span | None) -> Span | None:
    if span is None:
        return None
    size = span.size & _LOW_HALF
    return Span.at(span.start & _LOW_HALF, size) if size else None
