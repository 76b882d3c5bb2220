"""The canonical encoding: RAM is split around a deposit, RESERVED fills the gap.

    firmware   [----------------- RAM -----------------)
    deposits        [ A )            [ B )
    table      [RAM)[RES)[--- RAM ---)[RES)[--- RAM ---)

Of what holds a whole memory block ``guarded`` makes type 3, which is busy: a kernel
adds no memory device over it (:mod:`e820pool.handoff.hot_add`). ``split`` does not.

No byte is named by two entries. So no subset of the entries, however it was
lost, makes a deposited page RAM: that is monotone safety.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.abi.e820 import E820_TYPE_RESERVED
from e820pool.handoff.encodings.carve import carved_table
from e820pool.handoff.encodings.model import Encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = ("GUARDED", "SPLIT", "split_table")


def split_table(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    """Return the sorted, disjoint table with every deposit RESERVED.

    Deposits lie in RAM, so that the highest type wins over it; a deposit that
    touches RESERVED shares its entry, as the kernel would join them anyway.

    Raises:
        InputError: a deposit is not whole pages of RAM, or an entry of the map
            reaches 2^64.
    """
    ledger.validate_inside(memory_map)
    return carved_table(memory_map, ledger.extents.to_bytes(), E820_TYPE_RESERVED)


SPLIT = Encoding(
    name="split",
    meaning="RAM carved around each deposit, E820_TYPE_RESERVED in the gap",
    make_table=split_table,
)
"""RAM carved around each deposit, RESERVED in the gap."""

GUARDED = Encoding(
    name="guarded",
    meaning="as split, type 3 (ACPI) for what holds a whole memory block",
    make_table=split_table,
    holds_blocks=True,
)
"""``split`` with whole memory blocks of a busy type; the canonical one."""
