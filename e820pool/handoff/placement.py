"""Addresses for the parts of a handoff: in RAM, outside deposits, not overlapping.

The kernel's is what its decompressor overwrites. And two places that a handoff cannot
choose: where a kernel is taken to be loaded when no image says it, and memory below
1 MiB, which no table keeps a kernel from reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.errors import CapacityError, InputError
from e820pool.extents import (
    PAGE_SHIFT,
    PAGE_SIZE,
    ByteRangeSet,
    ExtentSet,
    Span,
    round_up,
)

if TYPE_CHECKING:
    from e820pool.abi.bzimage import BzImage
    from e820pool.deposits import DepositLedger
    from e820pool.table import E820Table

__all__ = (
    "ASSUMED_WINDOW",
    "LOW_LIMIT",
    "PLACEMENT_LIMIT",
    "SCANNED_PAGES",
    "SCAN_SOURCE",
    "Room",
    "assumed_window",
    "place_kernel",
    "validate_above_low_memory",
)

LOW_LIMIT = 0x0010_0000
"""No part goes below 1 MiB: firmware, option ROMs and the real-mode trampoline
use conventional memory while a loader runs."""

PLACEMENT_LIMIT = 1 << 32
"""The 32-bit boot protocol passes 32-bit pointers (Documentation/arch/x86/boot.rst)."""


@dataclass(slots=True, kw_only=True)
class Room:
    """RAM that is free of deposits and of parts placed before, to be given out.

    Attributes:
        ram: bytes that are RAM in the table handed over, deposits already out.
        deposits: deposited bytes, to name the reason of a refusal.
    """

    ram: ByteRangeSet
    deposits: ByteRangeSet
    _taken: list[tuple[str, int, int]] = field(default_factory=list)

    @classmethod
    def in_table(cls, table: E820Table, deposits: ByteRangeSet) -> Self:
        """Return what is RAM in a table, under no other entry and no deposit.

        Args:
            table: entries in any order, overlapping or not.
            deposits: bytes that are no place for anything.
        """
        ram = table.bytes_of(E820_TYPE_RAM) - table.bytes_but(E820_TYPE_RAM)
        return cls(ram=ram - deposits, deposits=deposits)

    def occupy(self, part: str, addr: int, size: int) -> None:
        """Count ``[addr, addr + size)`` as taken, wherever it lies."""
        limit = ByteRangeSet.LIMIT
        self._taken.append((part, min(addr, limit), min(addr + size, limit)))

    def is_free(self, addr: int, size: int) -> bool:
        """Return whether a part could lie in ``[addr, addr + size)``, below 4 GiB."""
        end = addr + size
        return (
            addr >= LOW_LIMIT
            and end <= PLACEMENT_LIMIT
            and self.ram.contains(addr, end)
            and not any(addr < stop and start < end for _, start, stop in self._taken)
        )

    def claim(self, part: str, addr: int, size: int) -> int:
        """Take ``[addr, addr + size)`` that the user or a kernel asks for.

        Raises:
            InputError: it lies below 1 MiB, under a deposit, outside RAM, or on
                another part.
        """
        end = addr + size
        shown = f"{part} at {Span(addr, end)}"
        if end > ByteRangeSet.LIMIT:
            raise InputError(f"{shown} reaches beyond {ByteRangeSet.LIMIT:#x}")
        if addr < LOW_LIMIT:
            raise InputError(
                f"{shown} lies below {LOW_LIMIT:#x}: firmware and loaders use that"
            )
        for start, stop in self.deposits & ByteRangeSet([(addr, end)]):
            raise InputError(
                f"{shown} covers deposited bytes {Span(start, stop)}: "
                "the next kernel would use them"
            )
        if not self.ram.contains(addr, end):
            start, stop = next(iter(ByteRangeSet([(addr, end)]) - self.ram))
            raise InputError(f"{shown} is not RAM in {Span(start, stop)}")
        for other, start, stop in self._taken:
            if addr < stop and start < end:
                raise InputError(f"{shown} overlaps {other} at {Span(start, stop)}")
        self._taken.append((part, addr, end))
        return addr

    def find(
        self,
        part: str,
        size: int,
        *,
        align: int = PAGE_SIZE,
        low: int = LOW_LIMIT,
        high: int = PLACEMENT_LIMIT,
    ) -> int:
        """Take the lowest fitting place in ``[low, high)``.

        Raises:
            CapacityError: no RAM of that size is free there.
        """
        taken = ByteRangeSet((start, stop) for _, start, stop in self._taken)
        free = self.ram & ByteRangeSet([(min(low, high), high)])
        largest = 0
        for start, stop in free - taken:
            at = round_up(start, align)
            if at + size <= stop:
                return self.claim(part, at, size)
            largest = max(largest, stop - at)
        raise CapacityError(
            f"no place for {part}: {size:#x} bytes aligned to {align:#x} in RAM within "
            f"{Span(low, high)}, the largest free run has {largest:#x}"
        )


_WHAT = "the kernel window [P, P + init_size)"


def place_kernel(image: BzImage, room: Room, addr: int | None) -> Span:
    """Take the bytes in which the decompressor of ``image`` works.

    P is where head_64.S moves the image before it reads any map
    (arch/x86/boot/compressed/head_64.S); a deposit under it would be overwritten,
    and later e820_add_kernel_range() would make it RAM.

    Args:
        image: the next kernel.
        room: RAM that is still free.
        addr: the load address the user wants, None to choose one: the kernel's
            preferred address, else the lowest place above it that fits.

    Returns:
        ``(P, P + init_size)`` in bytes.

    Raises:
        InputError: the window would cover a deposit, what is not RAM, or another
            part.
        CapacityError: no place is large enough.
    """
    load_addr = image.pref_address if addr is None else addr
    start, end = image.kernel_window(load_addr)
    size = max(end - start, image.protected_mode_size)
    if addr is not None and start != addr:
        raise InputError(
            f"the kernel loaded at {addr:#x} would run at {start:#x}: load it there "
            f"(alignment {image.kernel_alignment:#x})"
        )
    try:
        _claim(room, start, size)
    except InputError:
        if addr is not None or not image.relocatable:
            raise
        align = max(image.kernel_alignment, PAGE_SIZE)
        start = room.find(_WHAT, size, align=align, low=start)
    return Span.at(start, size)


def _claim(room: Room, start: int, size: int) -> None:
    if start + size > PLACEMENT_LIMIT:
        raise InputError(
            f"{_WHAT} at {Span(start, start + size)}: the 32-bit protocol's limit "
            f"is {PLACEMENT_LIMIT:#x}"
        )
    room.claim(_WHAT, start, size)


SCANNED_PAGES = ExtentSet([(0x0, 0x1), (0x80, 0xA0)])
"""Pages that kernels search for firmware's tables, RESERVED or not: the BIOS data
area (arch/x86/kernel/ebda.c), the MP table in the first KiB and the last of 640
(arch/x86/kernel/mpparse.c default_find_smp_config()), the iBFT from 512 KiB on
(drivers/firmware/iscsi_ibft_find.c). Kernels 6.1 and 7.3 read just these in a boot."""

SCAN_SOURCE = (
    "arch/x86/kernel/mpparse.c default_find_smp_config(), "
    "drivers/firmware/iscsi_ibft_find.c reserve_ibft_region()"
)
"""The kernel functions that search them."""

_LOW_PAGES = ExtentSet([(0, LOW_LIMIT >> PAGE_SHIFT)])


def validate_above_low_memory(ledger: DepositLedger) -> None:
    """Raise InputError for a deposit below 1 MiB.

    Kernels read some of it whatever the table says. And the map that kernels up to 7.0
    make up for a refused table (fewer than two entries) calls it RAM, so that monotone
    safety would not hold.
    """
    low = ledger.extents & _LOW_PAGES
    if not low:
        return
    start_pfn = next(iter(low))[0]
    deposit = next(d for d in ledger if d.start_pfn <= start_pfn < d.end_pfn)
    raise InputError(
        f"deposit {deposit} begins below {LOW_LIMIT:#x}: kernels look for firmware's "
        "tables there, RESERVED or not"
    )


ASSUMED_WINDOW = Span(16 << 20, 64 << 20)
"""Where a kernel without an image at hand is taken to work before it reads a map: its
preferred address, and init_size of a stock 6.1, rounded."""

_ALIGNMENT = 2 << 20


def assumed_window(table: E820Table, taken: ByteRangeSet) -> Span | None:
    """Return :data:`ASSUMED_WINDOW`, or as many bytes in RAM above it; None if none.

    Nothing can be said of KASLR without a window.

    Args:
        table: entries in any order.
        taken: bytes that are no place for a kernel.
    """
    if _is_whole(table) and not taken.overlaps(*ASSUMED_WINDOW):
        return ASSUMED_WINDOW
    low, size = ASSUMED_WINDOW.start, ASSUMED_WINDOW.size
    room, limit = Room.in_table(table, taken), ByteRangeSet.LIMIT
    try:
        at = room.find("the kernel", size, align=_ALIGNMENT, low=low, high=limit)
    except CapacityError:
        return None
    return Span.at(at, size)


# The usual case, which costs no set algebra: one RAM entry, and no other over it.
def _is_whole(table: E820Table) -> bool:
    low, high = ASSUMED_WINDOW
    over = table.overlapping(low, high).rows()
    is_ram = all(kind == E820_TYPE_RAM and addr <= low for addr, _, kind in over)
    return is_ram and any(addr + size >= high for addr, size, _ in over)
