"""ACPI memory devices, and what a kernel would add to its memory after boot."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_RESERVED,
    E820_TYPE_SOFT_RESERVED,
)
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e820pool.range_lists import StartEnd

__all__ = ("MEMORY_BLOCK_BYTES", "NOT_BUSY_TYPES", "MemoryDevices", "addable_bytes")

MEMORY_BLOCK_BYTES = 128 << 20
"""The least that memory is added by, and to which both ends are aligned: one section
(check_hotplug_memory_range() in mm/memory_hotplug.c, SECTION_SIZE_BITS of 27 in
arch/x86/include/asm/sparsemem.h, 5.10 to 7.3; large machines have larger blocks)."""

NOT_BUSY_TYPES = (
    E820_TYPE_RESERVED,
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_SOFT_RESERVED,
)
"""Types that are no busy resource above 1 MiB (arch/x86/kernel/e820.c do_mark_busy(),
5.10 to 6.12, 7.3 e820_device_region()); in 2.6.32 all but RESERVED are busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDevices:
    """The places where firmware says that memory can be added.

    A map of which nothing is known has None in its place; without any device both are
    empty.

    Attributes:
        devices: bytes ``[start, end)`` of each device (PNP0C80), sorted and apart.
        regions: bytes in which devices may lie, of any whole blocks: what the SRAT
            calls hot-pluggable.

    Raises:
        InputError: a range is empty or too high, or two devices overlap.
    """

    devices: tuple[StartEnd, ...] = ()
    regions: tuple[StartEnd, ...] = ()

    def __post_init__(self) -> None:
        for start, end in (*self.devices, *self.regions):
            if not 0 <= start < end <= ByteRangeSet.LIMIT:
                raise InputError(
                    f"memory device {Span(start, end)} is empty or beyond the "
                    f"limit {ByteRangeSet.LIMIT:#x}"
                )
        ordered = sorted(set(self.devices))
        for low, high in pairwise(ordered):
            if high[0] < low[1]:
                raise InputError(
                    f"memory devices overlap: {Span(*low)} and {Span(*high)}"
                )
        object.__setattr__(self, "devices", tuple(ordered))
        object.__setattr__(self, "regions", tuple(ByteRangeSet(self.regions)))

    def __or__(self, other: MemoryDevices) -> MemoryDevices:
        return MemoryDevices(
            devices=self.devices + other.devices, regions=self.regions + other.regions
        )


def addable_bytes(
    free: ByteRangeSet, devices: MemoryDevices | None = None
) -> ByteRangeSet:
    """Return what a kernel that finds memory devices would add of ``free``.

    A device is added whole or, where anything busy lies in it, not at all.

    Args:
        free: bytes of no busy resource.
        devices: where they are; None for anywhere.
    """
    if devices is None:
        return _whole_blocks(free)
    whole = (device for device in devices.devices if _is_addable(device, free))
    return ByteRangeSet(whole) | _whole_blocks(free & ByteRangeSet(devices.regions))


def _is_addable(device: Sequence[int], free: ByteRangeSet) -> bool:
    start, end = device
    in_blocks = not (start % MEMORY_BLOCK_BYTES or end % MEMORY_BLOCK_BYTES)
    return in_blocks and free.contains(start, end)


def _whole_blocks(ranges: Iterable[StartEnd]) -> ByteRangeSet:
    spans = (
        (-(-start // MEMORY_BLOCK_BYTES), end // MEMORY_BLOCK_BYTES)
        for start, end in ranges
    )
    return ByteRangeSet(
        (first * MEMORY_BLOCK_BYTES, after * MEMORY_BLOCK_BYTES)
        for first, after in spans
        if first < after
    )
