"""What the thread names as precedents: the crash kernel's table, isolation up front.

Both are safe for the same reason as ``split``, and cost RAM instead of entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.errors import CapacityError
from e820pool.extents import ByteRangeSet, Span, round_up
from e820pool.handoff.encodings.carve import carved_table
from e820pool.handoff.encodings.model import Encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = ("CRASH_WINDOW", "UP_FRONT")

_ALIGN = 2 << 20
_FIRST_MIB = 1 << 20
_FOUR_GIB = 1 << 32
_WINDOW = 256 << 20


# The crash kernel has the first MiB and the window that was reserved for it; all other
# RAM of the first kernel is none (arch/x86/kernel/crash.c crash_setup_memmap_entries(),
# which leaves it out; here it is RESERVED, as in the thread).
def _crash_table(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    ledger.validate_inside(memory_map)
    ram = memory_map.bytes_of(E820_TYPE_RAM)
    free = ram - ledger.extents.to_bytes()
    window = _largest(free & ByteRangeSet([(_FIRST_MIB, _FOUR_GIB)]))
    kept = (free & ByteRangeSet([(0, _FIRST_MIB)])) | window
    return carved_table(memory_map, ram - kept, E820_TYPE_RESERVED)


def _largest(free: ByteRangeSet) -> ByteRangeSet:
    sizes = free.ends - free.starts
    if not sizes.size:
        raise CapacityError(
            f"no RAM without deposits within {Span(_FIRST_MIB, _FOUR_GIB)}"
        )
    at = int(np.argmax(sizes))
    start = int(free.starts[at])
    return ByteRangeSet([(start, min(int(free.ends[at]), start + _WINDOW))])


# One region, set aside at the first boot, in which all deposits happen to lie: from
# the first to the last of each RAM entry.
def _up_front_table(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    ledger.validate_inside(memory_map)
    ram = memory_map.bytes_of(E820_TYPE_RAM)
    deposits = ledger.extents.to_bytes()
    regions = []
    for start, end in ram:
        inside = deposits & ByteRangeSet([(start, end)])
        if inside:
            low = int(inside.starts[0]) // _ALIGN * _ALIGN
            high = round_up(int(inside.ends[-1]), _ALIGN)
            regions.append((max(low, start), min(high, end)))
    return carved_table(memory_map, ByteRangeSet(regions), E820_TYPE_RESERVED)


CRASH_WINDOW = Encoding(
    name="crash-window",
    meaning="all RAM RESERVED but the first MiB and a window, as for a crash kernel",
    make_table=_crash_table,
)
"""The table of a crash kernel: all but a window is RESERVED."""

UP_FRONT = Encoding(
    name="up-front",
    meaning="one RESERVED region from the first deposit to the last, set aside early",
    make_table=_up_front_table,
)
"""One RESERVED region from the first deposit to the last."""
