"""The firmware's map left alone, and ``memmap=nn$ss`` on the command line.

KASLR heeds the first four regions only (MAX_MEMMAP_REGIONS). A longer list in one
argument turns physical KASLR off; a fifth argument of its own is not looked at
(arch/x86/boot/compressed/kaslr.c parse_memmap(), mem_avoid_memmap()).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.extents import ByteRangeSet
from e820pool.handoff.encodings.model import Encoding
from e820pool.handoff.encodings.overlaid import whole_ram

if TYPE_CHECKING:
    from e820pool.deposits import DepositLedger

__all__ = ("MEMMAP_ARGS", "MEMMAP_FOUR", "MEMMAP_LIST", "joined_to")

_FOUR = 4


def joined_to(ranges: ByteRangeSet, count: int) -> ByteRangeSet:
    """Return at most ``count`` ranges that cover all, the narrowest gaps closed."""
    starts, ends = ranges.starts, ranges.ends
    if len(ranges) <= count:
        return ranges
    gaps = starts[1:] - ends[:-1]
    kept = np.sort(np.argsort(gaps, kind="stable")[len(gaps) - (count - 1) :])
    return ByteRangeSet.from_bounds(
        np.concatenate((starts[:1], starts[kept + 1])),
        np.concatenate((ends[kept], ends[-1:])),
    )


def _item(start: int, end: int) -> str:
    return f"{end - start:#x}${start:#x}"


def _list(ledger: DepositLedger) -> str:
    items = [_item(*span) for span in ledger.extents.to_bytes()]
    return "memmap=" + ",".join(items) if items else ""


def _args(ledger: DepositLedger) -> str:
    return " ".join("memmap=" + _item(*span) for span in ledger.extents.to_bytes())


def _four(ledger: DepositLedger) -> str:
    ranges = joined_to(ledger.extents.to_bytes(), _FOUR)
    return " ".join("memmap=" + _item(*span) for span in ranges)


MEMMAP_LIST = Encoding(
    name="memmap-list",
    meaning="the map as it was, one memmap=nn$ss,nn$ss,... on the command line",
    make_table=whole_ram,
    make_words=_list,
    monotone=False,
)
"""One ``memmap=`` with a list of ranges."""

MEMMAP_ARGS = Encoding(
    name="memmap-args",
    meaning="the map as it was, a memmap=nn$ss argument for each deposit",
    make_table=whole_ram,
    make_words=_args,
    monotone=False,
)
"""One ``memmap=`` for each deposit."""

MEMMAP_FOUR = Encoding(
    name="memmap-four",
    meaning="the map as it was, at most four memmap=nn$ss, RAM between lost",
    make_table=whole_ram,
    make_words=_four,
    monotone=False,
)
"""Four ``memmap=`` at most, which KASLR heeds."""
