"""The canonical encoding: RAM is split around a deposit, RESERVED fills the gap.

    firmware   [----------------- RAM -----------------)
    deposits        [ A )            [ B )
    table      [RAM)[RES)[--- RAM ---)[RES)[--- RAM ---)

No byte is named by two entries. So no subset of the entries, however it was
lost, makes a deposited page RAM: that is monotone safety.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_DTYPE, E820_TYPE_RESERVED
from e820pool.extents import PAGE_SHIFT
from e820pool.handoff.encodings.model import Encoding
from e820pool.sweep import sweep_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = ("SPLIT", "split_table")


def split_table(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    """Return the sorted, disjoint table with every deposit RESERVED.

    Deposits lie in RAM, so that the highest type wins over it; a deposit that
    touches RESERVED shares its entry, as the kernel would join them anyway.

    Raises:
        InputError: a deposit is not whole pages of RAM, or an entry of the map
            reaches 2^64.
    """
    ledger.validate_inside(memory_map)
    flat = memory_map.flatten().entries
    shift, extents = np.uint64(PAGE_SHIFT), ledger.extents
    reserved = np.full(len(extents), E820_TYPE_RESERVED, np.uint32)
    addr, size, kind = sweep_arrays(
        np.concatenate((flat["addr"], extents.starts << shift)),
        np.concatenate((flat["size"], (extents.ends - extents.starts) << shift)),
        np.concatenate((flat["type"], reserved)),
    )
    table = np.empty(addr.size, E820_DTYPE)
    table["addr"], table["size"], table["type"] = addr, size, kind
    return table


SPLIT = Encoding(
    name="split",
    meaning="RAM carved around each deposit, E820_TYPE_RESERVED in the gap",
    make_table=split_table,
)
"""RAM carved around each deposit, RESERVED in the gap; the canonical one."""
