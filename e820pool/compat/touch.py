"""Deposited pages that this kernel can touch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_PRAM, E820_TYPE_SOFT_RESERVED
from e820pool.compat.verdict import finding_about
from e820pool.extents import ByteRangeSet, Span, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.compat.situation import Situation
    from e820pool.findings import Finding

__all__ = ("findings_of_touch",)

_MEMBLOCK = "arch/x86/kernel/e820.c e820__memblock_setup()"
_KASLR = "arch/x86/boot/compressed/kaslr.c process_e820_entries()"
_IMAGE = "arch/x86/kernel/setup.c e820_add_kernel_range()"
_HEAD = "arch/x86/boot/compressed/head_64.S startup_32"
_PMEM = "arch/x86/kernel/pmem.c register_e820_pmem()"
_TABLES = "5.14 arch/x86/mm/init.c alloc_low_pages()"
_HOTPLUG = "drivers/dax/hmem/hmem.c hmem_register_device(), kmem.c dev_dax_kmem_probe()"

# Memory is added in blocks of this size, or larger ones on large machines.
# Linux 6.12 arch/x86/mm/init_64.c MIN_MEMORY_BLOCK_SIZE.
_BLOCK_BYTES = 128 << 20
_U64_MAX = (1 << 64) - 1


def findings_of_touch(case: Situation) -> Iterator[Finding]:
    """Yield each way in which the kernel touches a deposit, all ``unsafe``."""
    if not case.deposits:
        return
    yield from _touched(case)
    yield from _usable(case)
    yield from _forced(case)
    yield from _load_window(case)
    yield from _slots(case)
    yield from _driver(case)
    yield from _hotplugged(case)
    yield from _page_tables(case)


def _touched(case: Situation) -> Iterator[Finding]:
    touched = case.view.touched_deposits
    if touched is None and case.view.touched is not None:
        touched = case.view.touched & case.deposits
    if touched:
        text = "the kernel read or wrote {pages}"
        yield finding_about("touched", "unsafe", touched, text, "lab: guest RAM file")


def _usable(case: Situation) -> Iterator[Finding]:
    hit = case.deposits & case.usable
    if hit:
        text = "the kernel takes {pages} for its own memory"
        yield finding_about("usable-as-ram", "unsafe", hit, text, _MEMBLOCK)


def _forced(case: Situation) -> Iterator[Finding]:
    if case.view.kernel_range is None:
        return
    hit = case.deposits & ByteRangeSet([case.view.kernel_range]).pages_touched()
    if hit:
        text = "the kernel image lies over {pages} and makes them RAM"
        yield finding_about(
            "forced-to-ram-by-kernel-image", "unsafe", hit, text, _IMAGE
        )


def _load_window(case: Situation) -> Iterator[Finding]:
    window = case.view.load_window
    if window is None:
        return
    hit = case.deposits & ByteRangeSet([window]).pages_touched()
    if hit:
        text = f"the decompressor works in {window}, over {{pages}}"
        yield finding_about("touched-by-decompressor", "unsafe", hit, text, _HEAD)


def _slots(case: Situation) -> Iterator[Finding]:
    slots = case.view.kaslr
    if slots is None or not slots.enabled:
        return
    hits, landed = slots.slots_over(case.deposits.to_bytes())
    if hits:
        text = (
            f"KASLR can put the kernel into a deposit: {hits} of {slots.nr_slots} "
            "slots cover {pages}"
        )
        extents = landed.pages_touched() & case.deposits
        yield finding_about("touched-by-decompressor", "unsafe", extents, text, _KASLR)


# Type 12 is memory to no allocator, but a device to a driver, which reads it.
def _driver(case: Situation) -> Iterator[Finding]:
    devices = case.table.bytes_of(E820_TYPE_PRAM)
    if not devices or not case.has("memmap-pram"):
        return
    hit = case.deposits & devices.pages_touched()
    if hit:
        text = (
            "type 12 makes {pages} a persistent memory device: its driver reads them "
            "to find out what they hold"
        )
        yield finding_about("driver-takes-deposit", "unsafe", hit, text, _PMEM)


# Type 0xefffffff: a driver adds it as System RAM, the whole blocks in each entry.
def _hotplugged(case: Situation) -> Iterator[Finding]:
    soft = case.table.bytes_of(E820_TYPE_SOFT_RESERVED)
    if not soft or not case.has("soft-reserved-is-hotplugged"):
        return
    rows = [row for row in case.view.table if row[2] == E820_TYPE_SOFT_RESERVED]
    blocks = [_whole_blocks(addr, addr + size) for addr, size, _ in rows]
    added = ByteRangeSet(block for block in blocks if block.size > 0)
    hit = case.deposits & added.pages_touched()
    if hit:
        text = (
            "type 0xefffffff makes {pages} a device that a driver adds to the kernel's "
            "memory"
        )
        yield finding_about("driver-takes-deposit", "unsafe", hit, text, _HOTPLUG)


# Whatever a stray entry of a page table names is written to.
def _page_tables(case: Situation) -> Iterator[Finding]:
    if "page-tables-unreserved" in case.view.warnings:
        text = (
            "fragments of RAM at the top of memory leave page tables in memory that is "
            "given away: what is written there next decides which pages the kernel's "
            "own mapping shows, and {pages} may be among them"
        )
        yield finding_about(
            "page-tables-unreserved", "unsafe", case.deposits, text, _TABLES
        )


# A table that no kernel resolves can have an entry up to 2^64.
def _whole_blocks(start: int, end: int) -> Span:
    return Span(round_up(start, _BLOCK_BYTES), min(end, _U64_MAX) & -_BLOCK_BYTES)
