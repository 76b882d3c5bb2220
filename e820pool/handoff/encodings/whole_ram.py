"""The firmware's RAM left whole, and deposits named by something beside it.

    table      [----------------- RAM -----------------)
    overlaid        [RES)            [RES)

A kernel's sanitiser gives each byte its highest type, so that its own table has the
gaps. The decompressor has no sanitiser and chooses a place for the kernel first
(arch/x86/boot/compressed/kaslr.c process_e820_entries()).

``memmap=nn$ss`` on the command line: KASLR heeds the first four regions only
(MAX_MEMMAP_REGIONS). A longer list in one argument turns physical KASLR off; a fifth
argument of its own is not looked at (kaslr.c parse_memmap(), mem_avoid_memmap()).

The persistent memory pool series itself, RFC v2: the pool is one region, which
``pmpool=`` names and whose bitmap lies at its base. A device tree node is prepended to
the chain (patch 2, kexec_setup_fdt()). A kernel with the series reserves the region;
any other sees RAM.

Kexec handover: deposits preserved by a SETUP_KEXEC_KHO node. A kernel without it, or
with it off, skips the node and has all of RAM for itself, and so does one that wants
another ABI: there is an encoding for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.abi.fdt import PmpoolNode, pack_pmpool_tree
from e820pool.abi.kho import KHO_V1, KHO_V4, encode_kho_payload
from e820pool.abi.setup_data import SETUP_DTB, SETUP_KEXEC_KHO, SetupDataNode
from e820pool.errors import CapacityError
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE, ByteRangeSet, round_up
from e820pool.handoff.encodings.carved import rows_of
from e820pool.handoff.encodings.encoding import Encoding

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap
    from e820pool.range_lists import StartCount, StartEnd

__all__ = ("HANDED_ON", "LAID_OVER", "joined_to", "pool_region", "whole_ram")

# CMA_MIN_ALIGNMENT_BYTES: one page block (include/linux/cma.h, 6.1).
_ALIGN = 2 << 20
# Of a scratch area: below lie the handoff's own parts and the real-mode trampoline.
_SCRATCH_LOW, _SCRATCH_HIGH = 1 << 24, 1 << 32
_SCRATCH_BYTES = 256 << 20


def whole_ram(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    """Return the firmware's map as it is, deposits being RAM.

    Raises:
        InputError: a deposit is not whole pages of RAM.
    """
    ledger.validate_inside(memory_map)
    return memory_map.flatten().entries.copy()


def _reserved_rows(_: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    return rows_of(ledger.extents.to_bytes(), E820_TYPE_RESERVED)


def _overlaid(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    reserved = _reserved_rows(memory_map, ledger)
    return np.concatenate((whole_ram(memory_map, ledger), reserved))


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


def _items(ranges: ByteRangeSet) -> list[str]:
    return [f"{end - start:#x}${start:#x}" for start, end in ranges]


def _list(ledger: DepositLedger) -> str:
    items = _items(ledger.extents.to_bytes())
    return "memmap=" + ",".join(items) if items else ""


def _args(ledger: DepositLedger) -> str:
    return " ".join(f"memmap={item}" for item in _items(ledger.extents.to_bytes()))


def _four(ledger: DepositLedger) -> str:
    ranges = joined_to(ledger.extents.to_bytes(), 4)
    return " ".join(f"memmap={item}" for item in _items(ranges))


def _by_words(
    name: str, make_words: Callable[[DepositLedger], str], meaning: str
) -> Encoding:
    return Encoding(
        name=name,
        meaning=meaning,
        make_table=whole_ram,
        make_words=make_words,
        monotone=False,
    )


LAID_OVER = (
    Encoding(
        name="overlaid",
        meaning="RAM as it was, E820_TYPE_RESERVED laid over it",
        make_table=_overlaid,
        monotone=False,
    ),
    Encoding(
        name="ext-only",
        meaning="RAM as it was, E820_TYPE_RESERVED over it in SETUP_E820_EXT only",
        make_table=whole_ram,
        make_ext=_reserved_rows,
        monotone=False,
    ),
    _by_words(
        "memmap-list",
        _list,
        "the map as it was, one memmap=nn$ss,nn$ss,... on the command line",
    ),
    _by_words(
        "memmap-args",
        _args,
        "the map as it was, a memmap=nn$ss argument for each deposit",
    ),
    _by_words(
        "memmap-four",
        _four,
        "the map as it was, at most four memmap=nn$ss, RAM between lost",
    ),
)
"""Those that say RESERVED over RAM, in the table or on the command line."""


def pool_region(ledger: DepositLedger) -> StartEnd:
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


def _pool_nodes(
    _: MemoryMap, ledger: DepositLedger, __: Callable[[int], int]
) -> list[SetupDataNode]:
    if not len(ledger):
        return []
    start, end = pool_region(ledger)
    node = PmpoolNode(base=start, size=end - start, bitmap=start)
    return [SetupDataNode(type=SETUP_DTB, data=pack_pmpool_tree(node))]


def _pool_words(ledger: DepositLedger) -> str:
    if not len(ledger):
        return ""
    start, end = pool_region(ledger)
    return f"pmpool={start:#x},{end - start:#x}"


# (addr, size) of RAM without deposits, 256 MiB where there is room.
def _scratch_area(memory_map: MemoryMap, ledger: DepositLedger) -> StartCount:
    ram = memory_map.bytes_of(E820_TYPE_RAM) - ledger.extents.to_bytes()
    best = (0, 0)
    for start, end in ram & ByteRangeSet([(_SCRATCH_LOW, _SCRATCH_HIGH)]):
        at = round_up(start, _ALIGN)
        size = min((end // _ALIGN * _ALIGN) - at, _SCRATCH_BYTES)
        if size > best[1]:
            best = (at, size)
    if best[1] <= 0:
        raise CapacityError(
            f"no {_ALIGN:#x} bytes of RAM without deposits within [{_SCRATCH_LOW:#x}, "
            f"{_SCRATCH_HIGH:#x}) for a scratch area"
        )
    return best


def _handover(name: str, compatible: str, releases: str) -> Encoding:
    def nodes(
        memory_map: MemoryMap, ledger: DepositLedger, addr_of: Callable[[int], int]
    ) -> list[SetupDataNode]:
        scratch = [_scratch_area(memory_map, ledger)]
        payload = encode_kho_payload(addr_of(0), ledger.extents, scratch, compatible)
        return [SetupDataNode(type=SETUP_KEXEC_KHO, data=payload)]

    return Encoding(
        name=name,
        meaning=f"RAM as it was, deposits preserved by a kexec handover of {releases}",
        make_table=whole_ram,
        make_nodes=nodes,
        monotone=False,
        carries_record=False,
    )


HANDED_ON = (
    Encoding(
        name="series-v2",
        meaning="RAM as it was, the pool in a device tree node that only its series "
        "knows",
        make_table=whole_ram,
        make_nodes=_pool_nodes,
        make_words=_pool_words,
        monotone=False,
        carries_record=False,
    ),
    _handover("kho", KHO_V1, "6.16 to 7.0"),
    _handover("kho-v4", KHO_V4, "7.2 and 7.3"),
)
"""Those with a node of their own, which only some kernels read."""
