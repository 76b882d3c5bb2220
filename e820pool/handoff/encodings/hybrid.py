"""RESERVED below 4 GiB, no entry above: half the entries, and no pool to rebuild.

    firmware   [------ RAM ------)  4 GiB  [---------- RAM -----------)
    deposits        [ A )                       [ B )     [ C )
    table      [RAM)[RES)[- RAM -)         [RAM)     [RAM)     [ RAM -)

Below 4 GiB a kernel may put PCI devices where no entry is
(arch/x86/kernel/e820.c e820_search_gap()), so deposits there stay RESERVED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.abi.e820 import E820_TYPE_RESERVED
from e820pool.extents import PAGE_SHIFT, ExtentSet
from e820pool.handoff.encodings.carve import carved_table
from e820pool.handoff.encodings.model import Encoding
from e820pool.memory_map import MemoryMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger

__all__ = ("HYBRID",)

_BARE_FROM = 1 << 32


def _table(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    ledger.validate_inside(memory_map)
    high = ExtentSet([(_BARE_FROM >> PAGE_SHIFT, ExtentSet.LIMIT)])
    low_bytes = (ledger.extents - high).to_bytes()
    bare_bytes = (ledger.extents & high).to_bytes()
    low_carved = carved_table(memory_map, low_bytes, E820_TYPE_RESERVED)
    return carved_table(MemoryMap(entries=low_carved), bare_bytes, None)


HYBRID = Encoding(
    name="hybrid",
    meaning="as split below 4 GiB, no entry for deposits above; no pool to rebuild",
    make_table=_table,
    bare_from=_BARE_FROM,
)
"""``split`` below 4 GiB, no entry for a deposit above."""
