"""RAM carved around deposits: the canonical encoding, and what else may fill the gap.

    firmware   [----------------- RAM -----------------)
    deposits        [ A )            [ B )
    split      [RAM)[RES)[--- RAM ---)[RES)[--- RAM ---)

No byte is named by two entries. So no subset of the entries, however it was
lost, makes a deposited page RAM: that is monotone safety. Of what holds a whole memory
block ``guarded`` makes type 3, which is busy: a kernel adds no memory device over it
(:mod:`e820pool.handoff.hot_add`). ``split`` does not.

    firmware   [------ RAM ------)  4 GiB  [---------- RAM -----------)
    deposits        [ A )                       [ B )     [ C )
    hybrid     [RAM)[RES)[- RAM -)         [RAM)     [RAM)     [ RAM -)

Half the entries, and no pool to rebuild. Below 4 GiB a kernel may put PCI devices where
no entry is (arch/x86/kernel/e820.c e820_search_gap()), so deposits there stay RESERVED.

What a kernel makes of a type that is not RAM differs by type and release: the table
that was measured is in specs/rivals.md. Two encodings are what the thread names as
precedents, the crash kernel's table and isolation up front: they cost RAM instead of
entries.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import (
    E820_DTYPE,
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    E820_TYPE_RESERVED_KERN,
    E820_TYPE_UNUSABLE,
)
from e820pool.errors import CapacityError
from e820pool.extents import PAGE_SHIFT, ByteRangeSet, ExtentSet, Span, round_up
from e820pool.handoff.encodings.encoding import Encoding
from e820pool.memory_map import MemoryMap
from e820pool.sweep import distinct, sweep_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger

__all__ = ("CARVED", "E820_TYPE_POOL", "carved_table", "rows_of", "split_table")

E820_TYPE_POOL = 0x6C6F_6F70
"""A type of our own: the letters "pool" in memory.

Above every number that a kernel has (12, 128) but for SOFT_RESERVED (0xefffffff), so
that it wins where RESERVED or RAM is laid over it; bit 31 is clear, so that it is no
negative number to anyone; and no list that grows upwards will reach it.
"""

_ALIGN = 2 << 20
_FIRST_MIB = 1 << 20
_FOUR_GIB = 1 << 32
# Of a crash kernel.
_WINDOW = 256 << 20


def carved_table(
    memory_map: MemoryMap, ranges: ByteRangeSet, kind: int | None
) -> NDArray[Any]:
    """Return the map, sorted and disjoint, with ``ranges`` of type ``kind``.

    Touching entries of one type are one, as the kernel would join them anyway.

    Args:
        memory_map: the firmware's own.
        ranges: bytes of RAM.
        kind: above the type of RAM; None leaves a gap.

    Raises:
        InputError: an entry of the map reaches 2^64.
    """
    flat = memory_map.flatten().entries
    filled = _unused_type(flat) if kind is None else kind
    addr, size, kinds = sweep_arrays(
        np.concatenate((flat["addr"], ranges.starts)),
        np.concatenate((flat["size"], ranges.ends - ranges.starts)),
        np.concatenate((flat["type"], np.full(len(ranges), filled, np.uint32))),
    )
    table = _table_of_columns(addr, size, kinds)
    return table[kinds != filled] if kind is None else table


def rows_of(ranges: ByteRangeSet, kind: int) -> NDArray[Any]:
    """Return one entry of type ``kind`` for each range."""
    kinds = np.full(len(ranges), kind, np.uint32)
    return _table_of_columns(ranges.starts, ranges.ends - ranges.starts, kinds)


def _table_of_columns(
    addr: NDArray[Any], size: NDArray[Any], kind: NDArray[Any]
) -> NDArray[Any]:
    table = np.empty(addr.size, E820_DTYPE)
    table["addr"], table["size"], table["type"] = addr, size, kind
    return table


# The highest type wins, so one that no entry has cuts holes.
def _unused_type(flat: NDArray[Any]) -> int:
    used = set(distinct(flat["type"]).tolist())
    return next(kind for kind in range((1 << 32) - 1, 1, -1) if kind not in used)


def split_table(
    memory_map: MemoryMap,
    ledger: DepositLedger,
    *,
    kind: int | None = E820_TYPE_RESERVED,
) -> NDArray[Any]:
    """Return the sorted, disjoint table with every deposit of a type, None for none.

    Deposits lie in RAM, so that the highest type wins over it; a deposit that
    touches RESERVED shares its entry, as the kernel would join them anyway.

    Raises:
        InputError: a deposit is not whole pages of RAM, or an entry of the map
            reaches 2^64.
    """
    ledger.validate_inside(memory_map)
    return carved_table(memory_map, ledger.extents.to_bytes(), kind)


def _hybrid_table(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    ledger.validate_inside(memory_map)
    high = ExtentSet([(_FOUR_GIB >> PAGE_SHIFT, ExtentSet.LIMIT)])
    low_bytes = (ledger.extents - high).to_bytes()
    bare_bytes = (ledger.extents & high).to_bytes()
    low_carved = carved_table(memory_map, low_bytes, E820_TYPE_RESERVED)
    return carved_table(MemoryMap(entries=low_carved), bare_bytes, None)


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


def _of_type(name: str, kind: int | None, meaning: str) -> Encoding:
    return Encoding(
        name=name,
        meaning=meaning,
        make_table=partial(split_table, kind=kind),
        deposit_type=kind,
    )


CARVED = (
    Encoding(
        name="guarded",
        meaning="as split, type 3 (ACPI) for what holds a whole memory block",
        make_table=split_table,
        holds_blocks=True,
    ),
    _of_type(
        "split",
        E820_TYPE_RESERVED,
        "RAM carved around each deposit, E820_TYPE_RESERVED in the gap",
    ),
    Encoding(
        name="hybrid",
        meaning="as split below 4 GiB, no entry for deposits above; no pool to rebuild",
        make_table=_hybrid_table,
        bare_from=_FOUR_GIB,
    ),
    _of_type("hole", None, "RAM carved around each deposit, no entry in the gap"),
    _of_type(
        "unusable",
        E820_TYPE_UNUSABLE,
        "E820_TYPE_UNUSABLE in the gap: busy, and RESERVED to stock kexec-tools",
    ),
    _of_type(
        "pmem-7",
        E820_TYPE_PMEM,
        "E820_TYPE_PMEM in the gap: not RAM, but a driver may claim it",
    ),
    _of_type(
        "pram-12",
        E820_TYPE_PRAM,
        "E820_TYPE_PRAM in the gap: not RAM, but a legacy driver makes it a disk",
    ),
    _of_type(
        "new-type",
        E820_TYPE_POOL,
        "a type that no kernel knows in the gap: not RAM, and nobody's",
    ),
    _of_type(
        "kern-128",
        E820_TYPE_RESERVED_KERN,
        "type 128 in the gap, the series' third version: RAM for kernels up to 6.12",
    ),
    Encoding(
        name="crash-window",
        meaning="all RAM RESERVED but the first MiB and a window, as for a crash "
        "kernel",
        make_table=_crash_table,
    ),
    Encoding(
        name="up-front",
        meaning="one RESERVED region from the first deposit to the last, "
        "set aside early",
        make_table=_up_front_table,
    ),
)
"""Those that carve, the canonical one first."""
