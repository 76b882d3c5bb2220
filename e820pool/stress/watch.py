"""Hold a host's count of entries against every limit that has not fallen yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
)
from e820pool.deposits import DepositLedger
from e820pool.extents import PAGE_SHIFT, ByteRangeSet, ExtentSet, Span
from e820pool.handoff.encodings import encoding_named
from e820pool.kernel.early_memory import fragments_with_tables
from e820pool.stress.limits import (
    LIMITS,
    Demand,
    Fall,
    Sample,
    memmap_chars,
    table_demand,
)

if TYPE_CHECKING:
    from e820pool.memory_map import MemoryMap
    from e820pool.stress.entries import EntryCount

__all__ = ("LimitWatch",)

# The shortest and the longest item of memmap= and its comma: 0x1000$0x100000 and
# sizes and addresses of 44 bits.
_SHORTEST, _LONGEST = 16, 28
# A decompressor needs so much room at least to call RAM a place for a kernel: the
# init_size of a distribution's kernel is 30 MiB and more.
_KERNEL_BYTES = 32 << 20
_KERNEL_PAGES = np.uint64(_KERNEL_BYTES >> PAGE_SHIFT)
_MIB = 1 << 20
# What kexec_file_load(2) passes to a capture kernel besides RAM (loading/capture.py).
_OF_CAPTURE = {E820_TYPE_ACPI, E820_TYPE_NVS, E820_TYPE_RESERVED}
# Pages of what is mapped without a page table of its own.
_LARGE, _ONE = np.uint64(512), np.uint64(1)


class LimitWatch:
    """The first call at which each limit is exceeded.

    What is cheap is looked at after every call that changes the count; the slots of
    KASLR, which need the table itself, when :meth:`look_closely` is called.

    Attributes:
        falls: so far, in order.
    """

    def __init__(self, memory_map: MemoryMap, count: EntryCount, encoding: str) -> None:
        self._map, self._count, self._encoding = memory_map, count, encoding
        self._ram = memory_map.ram_pages()
        self._always_before = _before_capture(memory_map)
        self._pending = list(LIMITS)
        self._seen = (-1, -1)
        self._slots = self._fragments = self._chars = self._most_regions = 0
        self.falls: list[Fall] = []

    @property
    def entries(self) -> int:
        """Return the entries of the encoding that is watched, now."""
        count = self._count
        return count.hybrid if self._encoding == "hybrid" else count.split

    def look(self, sample: Sample) -> None:
        """Note what has fallen; ``sample`` is the moment."""
        state = (self.entries, self._count.nr_runs)
        if state == self._seen:
            return
        self._seen = state
        demand = self._demand()
        fallen = [limit for limit in self._pending if not limit.is_within(demand)]
        for limit in fallen:
            self._pending.remove(limit)
            value = int(getattr(demand, limit.measure))
            self.falls.append(Fall(limit=limit.name, value=value, sample=sample))

    def look_closely(self, sample: Sample) -> None:
        """Count what only the table itself shows, then look.

        That is the places for a kernel that KASLR sees, and the fragments of RAM at
        the top.
        """
        most = {limit.measure: limit.most for limit in self._pending}
        ram = self._ram - self._count.extents()
        # The table has no more places than RAM has runs of that size.
        large = np.count_nonzero(ram.ends - ram.starts >= _KERNEL_PAGES)
        if large > most.get("slots", large):
            self._slots = self._places()
        if "fragments" in most:
            self._fragments = _top_fragments(ram)
        self._seen = (-1, -1)
        self.look(sample)

    def _demand(self) -> Demand:
        entries, regions = self._seen
        self._chars = len("memmap=") + regions * _SHORTEST
        most = len("memmap=") + regions * _LONGEST
        limit = next(
            (limit for limit in self._pending if limit.measure == "chars"), None
        )
        if limit and self._chars <= limit.most < most and regions > self._most_regions:
            self._most_regions = regions
            self._chars = memmap_chars(self._count.extents())
        return Demand(
            entries=entries,
            table=table_demand(entries),
            slots=self._slots,
            regions=regions,
            chars=self._chars,
            fragments=self._fragments,
            capture=entries - self._count.ram_runs + self._always_before,
        )

    def _places(self) -> int:
        # Of the lowest entries; what lies above them changes nothing.
        lowest = list(self._count.extents())[: E820_MAX_ENTRIES_ZEROPAGE + 1]
        pages = ExtentSet(lowest) & self._map.ram_pages()
        ledger = DepositLedger.of_ranges(pages.to_bytes())
        table = encoding_named(self._encoding).make_table(self._map, ledger)
        seen = table[:E820_MAX_ENTRIES_ZEROPAGE]
        is_place = (seen["type"] == E820_TYPE_RAM) & (seen["size"] >= _KERNEL_BYTES)
        return int(is_place.sum())


def _top_fragments(ram: ExtentSet) -> int:
    # Of what lies above the highest whole 2 MiB, mostly hardly anything.
    starts, ends = ram.starts, ram.ends
    whole = (starts + _LARGE - _ONE) // _LARGE < ends // _LARGE
    last = int(np.flatnonzero(whole)[-1]) if whole.any() else starts.size
    top = zip(starts[last:].tolist(), ends[last:].tolist(), strict=True)
    memory = [Span(start << PAGE_SHIFT, end << PAGE_SHIFT) for start, end in top]
    return fragments_with_tables(memory, ByteRangeSet())


# What a capture kernel's table has beside the entries that are no RAM: RAM below 1 MiB,
# and page 0, which every kernel takes out of RAM. Types that it does not have are none.
def _before_capture(memory_map: MemoryMap) -> int:
    added = 0
    for addr, _, kind in memory_map.flatten().rows():
        if kind == E820_TYPE_RAM:
            added += (addr < _MIB) + (addr == 0)
        elif kind not in _OF_CAPTURE:
            added -= 1
    return added
