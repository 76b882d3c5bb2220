"""RESERVED below 4 GiB, no entry above: half the entries, and no pool to rebuild.

    firmware   [------ RAM ------)  4 GiB  [---------- RAM -----------)
    deposits        [ A )                       [ B )     [ C )
    table      [RAM)[RES)[- RAM -)         [RAM)     [RAM)     [ RAM -)

Below 4 GiB a kernel may put PCI devices where no entry is
(arch/x86/kernel/e820.c e820_search_gap()), so deposits there stay RESERVED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_DTYPE, E820_TYPE_RESERVED
from e820pool.extents import PAGE_SHIFT, ExtentSet
from e820pool.handoff.encodings.model import Encoding
from e820pool.sweep import sweep_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = ("HYBRID", "hybrid_table")

_BARE_FROM = 1 << 32


def hybrid_table(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    """Return the sorted, disjoint table: deposits from 4 GiB on have no entry.

    Raises:
        InputError: a deposit is not whole pages of RAM, or an entry of the map
            reaches 2^64.
    """
    ledger.validate_inside(memory_map)
    flat = memory_map.flatten().entries
    high = ExtentSet([(_BARE_FROM >> PAGE_SHIFT, ExtentSet.LIMIT)])
    low_bytes = (ledger.extents - high).to_bytes()
    bare_bytes = (ledger.extents & high).to_bytes()
    hole = _unused_type(flat)
    ranges = ((low_bytes, E820_TYPE_RESERVED), (bare_bytes, hole))
    starts = np.concatenate([one.starts for one, _ in ranges])
    ends = np.concatenate([one.ends for one, _ in ranges])
    kinds = [np.full(len(one), kind, np.uint32) for one, kind in ranges]
    addr, size, kind = sweep_arrays(
        np.concatenate((flat["addr"], starts)),
        np.concatenate((flat["size"], ends - starts)),
        np.concatenate((flat["type"], *kinds)),
    )
    listed = kind != hole
    table = np.empty(int(listed.sum()), E820_DTYPE)
    table["addr"], table["size"] = addr[listed], size[listed]
    table["type"] = kind[listed]
    return table


# The highest type wins, so one that no entry has cuts holes.
def _unused_type(flat: NDArray[Any]) -> int:
    used = set(np.unique(flat["type"]).tolist())
    return next(kind for kind in range((1 << 32) - 1, 1, -1) if kind not in used)


HYBRID = Encoding(
    name="hybrid",
    meaning="as split below 4 GiB, no entry for deposits above; no pool to rebuild",
    make_table=hybrid_table,
    bare_from=_BARE_FROM,
)
"""``split`` below 4 GiB, no entry for a deposit above."""
