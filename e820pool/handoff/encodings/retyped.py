"""RAM carved around each deposit, and a type other than RESERVED in the gap.

What a kernel makes of a type that is not RAM differs by type and release: the table
that was measured is in specs/rivals.md.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from e820pool.abi.e820 import (
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_RESERVED_KERN,
    E820_TYPE_UNUSABLE,
)
from e820pool.handoff.encodings.carve import carved_table
from e820pool.handoff.encodings.model import Encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = (
    "E820_TYPE_POOL",
    "HOLE",
    "NEW_TYPE",
    "PMEM",
    "PRAM",
    "RESERVED_KERN",
    "UNUSABLE",
)

E820_TYPE_POOL = 0x6C6F_6F70
"""A type of our own: the letters "pool" in memory.

Above every number that a kernel has (12, 128) but for SOFT_RESERVED (0xefffffff), so
that it wins where RESERVED or RAM is laid over it; bit 31 is clear, so that it is no
negative number to anyone; and no list that grows upwards will reach it.
"""


def _table(
    memory_map: MemoryMap, ledger: DepositLedger, *, kind: int | None
) -> NDArray[Any]:
    ledger.validate_inside(memory_map)
    return carved_table(memory_map, ledger.extents.to_bytes(), kind)


def _encoding(name: str, meaning: str, kind: int | None) -> Encoding:
    return Encoding(
        name=name,
        meaning=meaning,
        make_table=partial(_table, kind=kind),
        deposit_type=kind,
    )


#: No entry where a deposit is.
HOLE = _encoding("hole", "RAM carved around each deposit, no entry in the gap", None)

UNUSABLE = _encoding(
    "unusable",
    "E820_TYPE_UNUSABLE in the gap: busy, and RESERVED to stock kexec-tools",
    E820_TYPE_UNUSABLE,
)
"""Type 5 where a deposit is."""

PMEM = _encoding(
    "pmem-7",
    "E820_TYPE_PMEM in the gap: not RAM, but a driver may claim it",
    E820_TYPE_PMEM,
)
"""Type 7 where a deposit is."""

PRAM = _encoding(
    "pram-12",
    "E820_TYPE_PRAM in the gap: not RAM, but a legacy driver makes it a disk",
    E820_TYPE_PRAM,
)
"""Type 12 where a deposit is."""

RESERVED_KERN = _encoding(
    "kern-128",
    "type 128 in the gap, the series' third version: RAM for kernels up to 6.12",
    E820_TYPE_RESERVED_KERN,
)
"""Type 128 where a deposit is."""

NEW_TYPE = _encoding(
    "new-type",
    "a type that no kernel knows in the gap: not RAM, and nobody's",
    E820_TYPE_POOL,
)
"""A type of our own where a deposit is."""
