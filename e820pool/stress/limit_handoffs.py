"""Handoffs that run into one limit, as many entries, regions or bytes as asked for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.e820 import (
    E820_DTYPE,
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    encode_table,
)
from e820pool.deposits import DepositLedger
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.memory_map import MemoryMap

if TYPE_CHECKING:
    from e820pool.handoff.model import Handoff
    from e820pool.range_lists import Row, StartEnd

__all__ = (
    "CRASH_MACHINE",
    "SMALL_PC",
    "cleared_handoff",
    "crash_handoff",
    "fragment_handoff",
    "island_handoff",
    "long_node_handoff",
    "memmap_handoff",
    "run_handoff",
    "trampoline_handoff",
)

# More than any kernel's table holds.
_MOST_ENTRIES = 6000
_MIB = 1 << 20
_HIGH = 1 << 32
_LOW_RAM = (0x0, 0x9F000, E820_TYPE_RAM)
# The rest of it.
_PC = (
    (0x9F000, 0x1000, E820_TYPE_RESERVED),
    (0xF0000, 0x10000, E820_TYPE_RESERVED),
    (_MIB, 511 * _MIB, E820_TYPE_RAM),
    (0xFEC0_0000, 0x140_0000, E820_TYPE_RESERVED),
    (_HIGH, 512 * _MIB, E820_TYPE_RAM),
)
SMALL_PC = (_LOW_RAM, *_PC)
"""A small PC, as a lab can build it: half a GiB below 4 GiB and as much above."""
# Room for the real-mode trampoline, and for memblock's array up to 1024 regions: it is
# doubled in the highest place that fits, 8, 12 and 24 KiB, and 48 KiB are nowhere.
_SCANT_LOW_RAM = (
    (0x1_0000, 0x7000, E820_TYPE_RAM),
    (0x2_0000, 0x6000, E820_TYPE_RAM),
    (0x3_0000, 0x6000, E820_TYPE_RAM),
)
# Room for the trampoline, and for nothing else.
_LEAST_LOW_RAM = ((0x1_0000, 0x7000, E820_TYPE_RAM),)
# RESERVED that is far from all RAM fills a table, and no memblock array with it.
_ISLANDS = 1 << 40
_STRIDE = 16 << 12
_LAST_PAGE = (1 << 64) - 4096
# A page table maps so much in pages of 4 KiB.
_LARGE = 2 * _MIB
# Where a long node lies: on a page, in RAM that nothing else is placed in.
_NODE_ADDR = 256 * _MIB
# More than the init_size of any kernel, so that one fits, and from where on.
_WINDOW = 80 * _MIB
_ABOVE_KERNEL = 96 * _MIB


CRASH_MACHINE = MemoryMap.of(
    (
        _LOW_RAM,
        (0x9F000, 0x6_1000, E820_TYPE_RESERVED),
        (_MIB, 447 * _MIB, E820_TYPE_RAM),
    ),
    origin="made for a limit",
)
"""A small PC, with room for a kernel and what it keeps for its capture kernel."""

# Page 0, what is RESERVED below 1 MiB, and the RAM there.
_BEFORE_DEPOSITS = 3
_CRASH_DEPOSITS_FROM = 256 * _MIB


def crash_handoff(before: int) -> Handoff:
    """Return a handoff of a kernel that is to crash.

    ``before`` is how many entries its capture kernel is to be given before its own RAM.
    """
    starts = (
        _CRASH_DEPOSITS_FROM + at * _STRIDE for at in range(before - _BEFORE_DEPOSITS)
    )
    return build_handoff(
        CRASH_MACHINE,
        DepositLedger.of_ranges((start, start + 4096) for start in starts),
        BuildOptions(cmdline="crashkernel=128M"),
    )


def island_handoff(entries: int) -> Handoff:
    """Return a handoff of one deposit, and as many RESERVED entries as it takes."""
    return _islands(entries, {})


def run_handoff(entries: int) -> Handoff:
    """Return a handoff of runs of RAM between deposits, with scant low RAM."""
    rows = (*_SCANT_LOW_RAM, *_PC)
    return _built(rows, _deposits_in_a_row((entries - len(rows)) // 2))


def cleared_handoff(entries: int) -> Handoff:
    """Return runs of RAM with low RAM to spare; the kernel clears what it frees."""
    deposits = _deposits_in_a_row((entries - len(SMALL_PC)) // 2)
    return _built(SMALL_PC, deposits, cmdline="init_on_free=1")


def trampoline_handoff(entries: int) -> Handoff:
    """Return the same with low RAM for a trampoline, or for an array, not for both."""
    rows = (*_LEAST_LOW_RAM, *_PC)
    return _built(rows, _deposits_in_a_row((entries - len(rows)) // 2))


def fragment_handoff(entries: int) -> Handoff:
    """Return a handoff with a deposit in each of the highest 2 MiB of RAM."""
    count = max((entries - len(_PC) - 1) // 2, 1)
    top = (_HIGH, 64 * _MIB + count * _LARGE, E820_TYPE_RAM)
    first = _HIGH + 65 * _MIB
    deposits = [
        (first + at * _LARGE, first + at * _LARGE + 4096) for at in range(count)
    ]
    return _built((_LOW_RAM, *_PC[:-1], top), deposits)


def long_node_handoff(entries: int) -> Handoff:
    """Return a handoff with a SETUP_E820_EXT node of all entries beyond 128.

    ``build`` refuses a node that no kernel can map, so that its entries are put in
    afterwards. The first one wraps, at which kernels stop reading: a table that they
    filled would be a limit of its own.
    """
    handoff = _islands(E820_MAX_ENTRIES_ZEROPAGE + 1, {"setup_data-0": _NODE_ADDR})
    spill = np.zeros(entries - E820_MAX_ENTRIES_ZEROPAGE, E820_DTYPE)
    at = np.arange(spill.size, dtype=np.uint64)
    spill["addr"] = np.uint64(2 * _ISLANDS) + at * np.uint64(2 * _STRIDE)
    spill["size"], spill["type"] = _STRIDE, E820_TYPE_RESERVED
    spill["addr"][0], spill["size"][0] = _LAST_PAGE, _STRIDE
    first = handoff.nodes[0]
    node = replace(first.node, data=encode_table(spill))
    return replace(handoff, nodes=(replace(first, node=node), *handoff.nodes[1:]))


def memmap_handoff(regions: int) -> Handoff:
    """Return a handoff of deposits kept by ``memmap=``, all RAM for KASLR in them.

    Between and beside them no kernel fits, so that it has to stay where it is loaded,
    or goes into a deposit.
    """
    ends = [_ABOVE_KERNEL + at * _WINDOW for at in range(regions + 1)]
    rows = (
        _LOW_RAM,
        *_PC[:2],
        (_MIB, ends[-1] - _MIB, E820_TYPE_RAM),
        _PC[3],
    )
    deposits = [(start, end - _MIB) for start, end in pairwise(ends)]
    return build_handoff(
        MemoryMap.of(rows, origin="made for a limit"),
        DepositLedger.of_ranges(deposits),
        BuildOptions(encoding="memmap-args"),
    )


def _islands(entries: int, addresses: dict[str, int]) -> Handoff:
    count = max(entries - 1 - len(_PC) - 2, 0)
    islands = [
        (_ISLANDS + at * 2 * _STRIDE, _STRIDE, E820_TYPE_RESERVED)
        for at in range(count)
    ]
    deposits = [(_HIGH + _MIB, _HIGH + 2 * _MIB)]
    return _built((_LOW_RAM, *_PC, *islands), deposits, addresses)


def _deposits_in_a_row(count: int) -> list[StartEnd]:
    first = _HIGH + _MIB
    return [(first + at * _STRIDE, first + at * _STRIDE + 4096) for at in range(count)]


def _built(
    rows: tuple[Row, ...],
    deposits: list[StartEnd],
    addresses: dict[str, int] | None = None,
    cmdline: str = "",
) -> Handoff:
    memory_map = MemoryMap.of(rows, origin="made for a limit")
    ledger = DepositLedger.of_ranges(deposits)
    options = BuildOptions(
        max_entries=_MOST_ENTRIES, addresses=addresses or {}, cmdline=cmdline
    )
    return build_handoff(memory_map, ledger, options)
