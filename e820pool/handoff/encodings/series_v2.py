"""The persistent memory pool series itself, RFC v2: a device tree, and RAM stays RAM.

The pool is one region, which ``pmpool=`` names and whose bitmap lies at its base. The
node is prepended to the chain (patch 2, kexec_setup_fdt()). A kernel with the series
reserves the region; any other sees RAM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.fdt import PmpoolNode, pack_pmpool_tree
from e820pool.abi.setup_data import SETUP_DTB, SetupDataNode
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE, round_up
from e820pool.handoff.encodings.model import Encoding
from e820pool.handoff.encodings.overlaid import whole_ram

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = ("SERIES_V2", "pool_region")

# CMA_MIN_ALIGNMENT_BYTES: one page block (include/linux/cma.h, 6.1).
_ALIGN = 2 << 20


def pool_region(ledger: DepositLedger) -> tuple[int, int]:
    """Return the bytes ``[start, end)`` of the region that holds all deposits.

    Its first pages hold the bitmap, a bit a page: they are never deposited.
    """
    spans = ledger.extents.to_bytes()
    first = int(spans.starts[0])
    start = first // _ALIGN * _ALIGN
    end = round_up(int(spans.ends[-1]), _ALIGN)
    while first - start < round_up((end - start) >> (PAGE_SHIFT + 3), PAGE_SIZE):
        start -= _ALIGN
    return start, end


def _nodes(
    _: MemoryMap, ledger: DepositLedger, __: Callable[[int], int]
) -> list[SetupDataNode]:
    if not len(ledger):
        return []
    start, end = pool_region(ledger)
    node = PmpoolNode(base=start, size=end - start, bitmap=start)
    return [SetupDataNode(type=SETUP_DTB, data=pack_pmpool_tree(node))]


def _words(ledger: DepositLedger) -> str:
    if not len(ledger):
        return ""
    start, end = pool_region(ledger)
    return f"pmpool={start:#x},{end - start:#x}"


SERIES_V2 = Encoding(
    name="series-v2",
    meaning="RAM as it was, the pool in a device tree node that only its series knows",
    make_table=whole_ram,
    make_nodes=_nodes,
    make_words=_words,
    monotone=False,
    carries_record=False,
)
"""The device tree node and the option of the series' second version."""
