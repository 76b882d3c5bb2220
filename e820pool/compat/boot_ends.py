"""The ways in which a table ends the boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE
from e820pool.extents import ExtentSet, Span
from e820pool.findings import Finding, counted
from e820pool.kernel.early_memory import (
    MOST_RESERVATIONS,
    NO_FREE_MEMORY,
    NO_TRAMPOLINE,
    RESERVED_ARRAY_STUCK,
)
from e820pool.kernel.memblock import FREED_ARRAY
from e820pool.kernel.resources import ENDS_AT_2_64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.compat.situation import Situation

__all__ = ("findings_of_boot_ends",)

_APPEND = "6.1, 7.3 arch/x86/kernel/e820.c append_e820_table()"
_GROW = "6.1 mm/memblock.c memblock_double_array()"
_MIB = 1 << 20
_LOW_MEMORY = ExtentSet([(0, 0x100)])


def findings_of_boot_ends(case: Situation) -> Iterator[Finding]:
    """Yield how the boot ends, and what ends it here or on other kernels."""
    fatal, end = case.view.fatal, case.view.end
    if fatal is not None:
        source = end.source if end else ""
        yield _degraded("boot-fails", f"the boot ends: {fatal}", source)
    yield from _ends_at_the_top(case)
    yield from _count(case)
    yield from _no_low_ram(case)
    yield from _cannot_grow(case)
    yield from _top_fragments(case)
    yield from _freed_array(case)
    if fatal is None or end == NO_FREE_MEMORY:
        yield from _no_memory(case)


def _degraded(ident: str, message: str, source: str) -> Finding:
    return Finding(id=ident, level="degraded", message=message, source=source)


def _ends_at_the_top(case: Situation) -> Iterator[Finding]:
    table = case.input_table
    for start, length, _ in table.where(table.reaches_top).rows()[:1]:
        yield _degraded(
            "entry-ends-at-2-64",
            f"the entry at {start:#x} with size {length:#x} reaches 2^64: the "
            "whole table is refused before 4.9; later it is left unresolved, and the "
            "boot ends in a BUG",
            ENDS_AT_2_64.source,
        )


def _count(case: Situation) -> Iterator[Finding]:
    count = case.inp.table.size
    if count < 2:
        refused = case.view.map_source != "BIOS-e820"
        here = "refused here" if refused else "taken here"
        yield Finding(
            id="single-entry",
            level="degraded" if refused else "note",
            message=f"{counted(count, 'entry')} in the zero page: {here}, and "
            "refused up to 6.19",
            source=_APPEND,
        )
    elif count > E820_MAX_ENTRIES_ZEROPAGE:
        yield _degraded(
            "count-over-128",
            f"e820_entries is {count}: before 4.12 that is a BUG; later the kernel "
            "reads on behind the table, into whatever the page holds there",
            _APPEND,
        )


def _no_low_ram(case: Situation) -> Iterator[Finding]:
    if case.view.end == NO_TRAMPOLINE:
        low = case.usable & _LOW_MEMORY
        yield _degraded(
            "no-low-ram",
            f"RAM below 1 MiB: {counted(low.nr_pages, 'page')}, too few, or not free, "
            "for the real-mode trampoline of the other processors",
            NO_TRAMPOLINE.source,
        )


def _cannot_grow(case: Situation) -> Iterator[Finding]:
    # The array of reservations has a finding of its own.
    stuck = case.view.end == RESERVED_ARRAY_STUCK
    if "memblock-full" in case.view.warnings and not stuck:
        yield _degraded(
            "memblock-cannot-grow",
            "memblock's array of regions is full and finds no RAM below 1 MiB to grow "
            "in: regions after the 128th are lost",
            _GROW,
        )


def _top_fragments(case: Situation) -> Iterator[Finding]:
    if case.view.end == RESERVED_ARRAY_STUCK:
        yield _degraded(
            "reserved-array-stuck",
            "the RAM above the last whole 2 MiB of memory lies in so many fragments "
            "that their page tables overflow memblock's array of reservations: about "
            f"{MOST_RESERVATIONS} fit, the others included",
            RESERVED_ARRAY_STUCK.source,
        )


def _freed_array(case: Situation) -> Iterator[Finding]:
    if case.view.end == FREED_ARRAY:
        yield _degraded(
            "memblock-freed-array",
            f"{len(case.view.memory)} regions of RAM are more than memblock's first "
            "array holds; the larger one is freed, cleared, and then read: the boot "
            "hangs",
            FREED_ARRAY.source,
        )


def _no_memory(case: Situation) -> Iterator[Finding]:
    if case.view.engine == "machine" and not case.view.memory:
        return  # a console that did not show it
    image = case.view.kernel_range or Span(_MIB, _MIB)
    for low, end in case.view.memory:
        start = max(low, _MIB)
        if start < end and not image.start <= start < end <= image.end:
            return
    yield _degraded(
        "no-memory",
        "there is no RAM above 1 MiB but for the kernel itself: the boot ends for want "
        "of memory",
        "6.1 mm/memblock.c memblock_alloc_try_nid()",
    )
