"""The table's RAM becomes memblock.memory, in whole pages.

Linux 6.1 arch/x86/kernel/e820.c e820__memblock_setup(), mm/memblock.c.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_TYPE_RAM,
    E820_TYPE_RESERVED_KERN,
    E820_TYPE_SOFT_RESERVED,
)
from e820pool.extents import PAGE_SIZE, ByteRangeSet, Span
from e820pool.kernel.cmdline import options
from e820pool.kernel.setup_data_nodes import kho_scratch, node_ranges
from e820pool.kernel.state import INIT_REGIONS
from e820pool.kernel.view import BootEnd
from e820pool.range_lists import coalesce_lists

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.state import EarlyBoot
    from e820pool.range_lists import Row, StartEnd

__all__ = (
    "FIRST_64K",
    "FREED_ARRAY",
    "SHORT_RUN",
    "MemoryArray",
    "array_bytes",
    "clears_freed_pages",
    "early_reservations",
    "find_freed_array",
    "free_low_memory",
    "reserved_while_mapping",
    "set_up_memory",
    "whole_pages",
)

_PAGE_MASK = PAGE_SIZE - 1
_U64_MAX = (1 << 64) - 1
# 2.6.32 arch/x86/include/asm/pgtable_64_types.h MAXMEM: 64 TiB.
_MAXMEM = 1 << 46
# Where reserve_bios_regions() begins when the BIOS data area says nothing else.
_BIOS_START = 0x9_F000
_FIRST_MIB = 1 << 20

FIRST_64K = 1 << 16
"""Bytes that kernels from 5.13 on reserve early, whatever lies in them.

Linux 5.15 to 7.3 arch/x86/kernel/setup.c early_reserve_memory().
"""

# Slots that marking the first MiB needs at most.
_FREE_FOR_SCRATCH = 2
# sizeof(struct memblock_region) on 64 bit, with and without NUMA.
_REGION_BYTES = 24
# memblock.current_limit until memory is mapped: ISA_END_ADDRESS.
_LIMIT = _FIRST_MIB


def set_up_memory(boot: EarlyBoot) -> None:
    """Fill ``boot.memory``; rows that memblock has no room for are lost."""
    profile, rows = boot.profile, boot.table.rows
    if not profile.has("memblock"):
        boot.memory = _rounded_each(rows)
        return
    types = {E820_TYPE_RAM}
    if profile.has("type-128-is-memory"):
        types.add(E820_TYPE_RESERVED_KERN)
    ram = [row for row in rows if row[2] in types and row[1]]
    scratch = kho_scratch(boot.inp, profile)
    if scratch:
        # Added before the table is read, and whatever the table says.
        ram = [(span.start, span.size, E820_TYPE_RAM) for span in scratch] + ram
    spans: Sequence[StartEnd] | None = None
    free = INIT_REGIONS - len(ram)
    if free >= _FREE_FOR_SCRATCH or (
        free >= 0 and not profile.has("first-mib-marked-scratch")
    ):
        spans = _join_disjoint(ram)
    if spans is None:
        spans = _add_one_by_one(boot, ram)
    boot.memory = tuple(whole_pages(spans))


def whole_pages(spans: Iterable[StartEnd]) -> list[StartEnd]:
    """Return each span less its partial pages.

    memblock_trim_memory(PAGE_SIZE).
    """
    whole: list[StartEnd] = []
    for span in spans:
        start, end = span
        if not (start | end) & _PAGE_MASK:
            whole.append(span)
            continue
        low, high = (start + _PAGE_MASK) & ~_PAGE_MASK, end & ~_PAGE_MASK
        if low < high:
            whole.append((low, high))
    return whole


# The common case: in address order, no overlap, and few enough for the array.
def _join_disjoint(ram: list[Row]) -> list[StartEnd] | None:
    spans: list[StartEnd] = []
    last_start, last_end = -1, -1
    for addr, size, _ in ram:
        if addr == last_end:
            last_end += size
            continue
        if addr < last_end:
            return None
        if last_start >= 0:
            spans.append((last_start, last_end))
        last_start, last_end = addr, addr + size
    if last_start >= 0:
        # memblock_cap_size(): only the last can reach beyond the last address.
        spans.append((last_start, min(last_end, _U64_MAX)))
    return spans


def _add_one_by_one(boot: EarlyBoot, ram: list[Row]) -> list[Span]:
    is_bounded = boot.profile.has("memblock-array-grows-in-low-memory")
    limit = INIT_REGIONS if is_bounded else None
    array = MemoryArray(early_reservations(boot), limit)
    for row in ram:
        addr, size, _ = row
        if not array.add(addr, min(addr + size, _U64_MAX)):
            boot.lost.append(row)
            boot.warn("memblock-full")
    if boot.profile.has("first-mib-marked-scratch"):
        array.split_in_three()
    boot.array_room = array.room
    boot.array_slots = array.slots
    return array.spans


def reserved_while_mapping(boot: EarlyBoot) -> ByteRangeSet:
    """Return what is reserved while memory is mapped: all of the first MiB too."""
    return ByteRangeSet([(0, _FIRST_MIB), *_reserved_anywhere(boot)])


def early_reservations(boot: EarlyBoot) -> list[Span]:
    """Return what is reserved when the table's RAM is added, unsorted.

    The EBDA and what the BIOS data area says are not part of a handoff: their
    usual place is assumed. X86_RESERVE_LOW counts later only.
    Linux 6.1 arch/x86/kernel/setup.c early_reserve_memory(); 5.10 setup_arch().
    """
    low = FIRST_64K if boot.profile.has("first-mib-reserved") else PAGE_SIZE
    first = [Span(0, low), Span(_BIOS_START, _FIRST_MIB)]
    return first + _reserved_anywhere(boot)


def free_low_memory(boot: EarlyBoot, start: int) -> ByteRangeSet:
    """Return what is free below the BIOS area when the trampoline is placed, in bytes.

    Linux 6.1 arch/x86/realmode/init.c reserve_real_mode().

    Args:
        boot: the state.
        start: the first byte that is not reserved whatever the map says.
    """
    taken = _reserved_anywhere(boot)
    if boot.array_room is not None:
        # memblock's array has grown into low memory before.
        taken.append(boot.array_room)
    low = boot.memory_bytes() & ByteRangeSet([(start, _BIOS_START)])
    return low - ByteRangeSet(taken)


# The same, but for what lies in the first MiB whatever the kernel reads.
def _reserved_anywhere(boot: EarlyBoot) -> list[Span]:
    inp = boot.inp
    spans = [s for s in (inp.initrd, inp.kernel_range) if s is not None]
    for node in inp.setup_data or ():
        spans += node_ranges(node, boot.profile)
    if boot.profile.has("gaps-reserved"):
        spans += _all_but_ram(boot.table.rows)
    soft = E820_TYPE_SOFT_RESERVED
    if boot.has_type(soft) and boot.profile.has("soft-reserved"):
        spans += [Span.at(r[0], r[1]) for r in boot.table.rows if r[2] == soft]
    # mm/memblock.c memblock_cap_size(): nothing reaches beyond the last address.
    return [Span(start, min(end, _U64_MAX)) for start, end in spans]


# Up to the end of the last row, in table order; 4.19.0 e820__memblock_setup().
def _all_but_ram(rows: list[Row]) -> Iterator[Span]:
    last = 0
    for addr, size, kind in rows:
        if last < addr:
            yield Span(last, addr)
        end = addr + size
        last = end & _U64_MAX
        if kind not in (E820_TYPE_RAM, E820_TYPE_RESERVED_KERN):
            yield Span(addr, end)


# Before memblock: each RAM entry to whole pages by itself, then joined; up to max_pfn.
# Linux 2.6.32 arch/x86/kernel/e820.c e820_find_active_region(), e820_end_pfn().
def _rounded_each(rows: list[Row]) -> tuple[StartEnd, ...]:
    ram = [(addr, addr + size) for addr, size, kind in rows if kind == E820_TYPE_RAM]
    below = [(start, min(end, _MAXMEM)) for start, end in ram if start < _MAXMEM]
    return tuple(zip(*coalesce_lists(whole_pages(below)), strict=True))


class MemoryArray:
    """Sorted regions that neither overlap nor touch.

    Attributes:
        spans: the regions.
        slots: how many it has room for, None without limit.
        room: where the array lies once it has grown, None before.
    """

    __slots__ = ("_reserved", "room", "slots", "spans")

    def __init__(
        self, reserved: Iterable[Span], limit: int | None = INIT_REGIONS
    ) -> None:
        """Make an empty array.

        Args:
            reserved: what a larger array must not be put over.
            limit: slots at first, None for an array without limit.
        """
        self.spans: list[Span] = []
        self._reserved = list(reserved)
        self.slots = limit
        # The place of the array that is freed when the next one is there.
        self.room: Span | None = None

    def add(self, start: int, end: int) -> bool:
        """Add a region; return False when there is no slot for it.

        memblock_add_range(): slots for all new pieces are needed before
        neighbours are joined. Linux 6.1 mm/memblock.c.
        """
        if start >= end:
            return True
        spans = self.spans
        first = bisect_left(spans, start, key=lambda s: s[1])
        last = bisect_right(spans, end, key=lambda s: s[0])
        pieces = self._pieces(start, end, first, last)
        if not self._make_room(len(spans) + pieces):
            return False
        if first < last:
            start = min(start, spans[first][0])
            end = max(end, spans[last - 1][1])
        spans[first:last] = [Span(start, end)]
        return True

    def split_in_three(self) -> None:
        """Make room for two more regions, as marking a range needs at most.

        Where there is no room nothing is lost. memblock_isolate_range(), Linux 7.3
        mm/memblock.c.
        """
        self._make_room(len(self.spans) + 2)

    # How many parts of [start, end) no region covers yet.
    def _pieces(self, start: int, end: int, first: int, last: int) -> int:
        count = 0
        for low, high in self.spans[first:last]:
            if low >= end:
                break
            if high <= start:
                continue
            count += low > start
            start = min(high, end)
        return count + (start < end)

    def _make_room(self, needed: int) -> bool:
        while self.slots is not None and needed > self.slots:
            place = self._find(array_bytes(2 * self.slots))
            if place is None:
                return False
            if self.room is not None:
                self._reserved.remove(self.room)
            self._reserved.append(place)
            self.room = place
            self.slots *= 2
        return True

    # Top down, in memory that was added before and is not reserved; never page 0.
    # memblock_find_in_range().
    def _find(self, size: int) -> Span | None:
        for low, high in reversed(self._free()):
            start = (high - size) & ~_PAGE_MASK
            if high >= size and start >= low:
                return Span.at(start, size)
        return None

    def _free(self) -> list[Span]:
        free = [
            Span(max(low, PAGE_SIZE), min(high, _LIMIT))
            for low, high in self.spans
            if low < _LIMIT
        ]
        for taken in self._reserved:
            free = [piece for span in free for piece in span.without(taken)]
        return free


def array_bytes(slots: int) -> int:
    """Return the size of an array of so many slots, in whole pages.

    memblock_double_array().
    """
    return (slots * _REGION_BYTES + _PAGE_MASK) & ~_PAGE_MASK


# memblock's grown array, which is read once more after it was freed.
#
#     e820 table      numa_init()        buddy allocator   driver_init()
#     array grows --> grows once more --> array is freed --> a walk over the array
#
# What is cleared by then is a region of no bytes at 0, and the walk over its memory
# blocks goes from 0 to the last address: hours, one for each region.

#: From 6.17 on.
FREED_ARRAY = BootEnd(
    id="freed-array",
    words="hang in register_memory_blocks_under_nodes: memblock's freed array",
    source="7.3 drivers/base/node.c register_memory_blocks_under_nodes(), "
    "mm/memblock.c memblock_discard()",
)

SHORT_RUN = 2 << 20
"""Bytes: an array in a run of RAM shorter than that was seen to be taken at once."""

# lib/kstrtox.c kstrtobool(): one letter counts, or two after an "o".
_YES = frozenset("yYtT1")
_NO = frozenset("nNfF0")
_ON_OFF = {"n": True, "N": True, "f": False, "F": False}


def find_freed_array(boot: EarlyBoot) -> None:
    """Record a hang: the kernel walks memblock's region array after it was freed.

    Linux 7.3 drivers/base/node.c register_memory_blocks_under_nodes(),
    mm/memblock.c memblock_discard(), memblock_isolate_range(); 6.17 to 7.3 alike.
    """
    profile = boot.profile
    run = _run_of_late_array(boot)
    if run is None and boot.array_room is None:
        return
    if not profile.has("regions-read-after-free") or not _walks_freed(profile):
        return
    default = bool(profile.config["INIT_ON_FREE_DEFAULT_ON"])
    taken = run is not None and run < SHORT_RUN
    if clears_freed_pages(boot.inp.cmdline, default=default) or (
        taken and profile.has("freed-pages-taken-first")
    ):
        boot.end_later(FREED_ARRAY)


def _walks_freed(profile: Profile) -> bool:
    config = profile.config
    walks = config["NUMA"] and config["MEMORY_HOTPLUG"]
    return bool(walks and not config["ARCH_KEEP_MEMBLOCK"])


def clears_freed_pages(cmdline: str, *, default: bool) -> bool:
    """Return whether pages are cleared when they are freed: the last init_on_free=.

    Linux 7.3 mm/mm_init.c early_init_on_free().
    """
    if "init_on_free" not in cmdline:
        return default
    clears = default
    for name, value in options(cmdline):
        if name == "init_on_free":
            said = _bool_of(value or "")
            clears = clears if said is None else said
    return clears


def _bool_of(text: str) -> bool | None:
    first, second = text[:1], text[1:2]
    if first in ("o", "O"):
        return _ON_OFF.get(second)
    if first in _YES:
        return True
    return False if first in _NO else None


# Each node's range is isolated, for which two slots must be free; the array grows then
# in the highest place of all memory. The first MiB is all reserved.
def _run_of_late_array(boot: EarlyBoot) -> int | None:
    slots = boot.array_slots
    if slots is None or len(boot.memory) + 2 <= slots:
        return None
    size = array_bytes(2 * slots)
    free = boot.memory_bytes() - reserved_while_mapping(boot)
    for start, end in reversed(list(free)):
        if (end & ~_PAGE_MASK) - size >= start:
            return end - start
    return None
