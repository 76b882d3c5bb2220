"""RAM, and entries, that this kernel loses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED_KERN,
)
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.findings import LISTED, Finding, counted
from e820pool.kernel.kernel_table import sanitize_rows
from e820pool.kernel.table_edits import TRIMMED_PAGES
from e820pool.type_words import type_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e820pool.compat.situation import Situation
    from e820pool.range_lists import Row

__all__ = ("findings_of_losses",)

_MEMBLOCK = "arch/x86/kernel/e820.c e820__memblock_setup()"
_APPEND = "arch/x86/kernel/e820.c e820__memory_setup_default()"
_RANGE_ADD = "arch/x86/kernel/e820.c __e820__range_add()"
_IN_PLACE = "4.4 arch/x86/kernel/e820.c default_machine_specific_memory_setup()"
_KERN = "3.10 to 6.12 arch/x86/kernel/e820.c e820__memblock_setup()"


def findings_of_losses(case: Situation) -> Iterator[Finding]:
    """Yield what the kernel loses of the table."""
    yield from _fallback(case)
    cut = _cut(case)
    yield from _truncated(cut)
    yield from _dropped(case, cut)
    yield from _type_128(case)
    yield from _ram_lost(case)


def _fallback(case: Situation) -> Iterator[Finding]:
    if case.view.map_source != "BIOS-e820":
        text = (
            f"the kernel refuses the table and makes up a {case.view.map_source} map, "
            "which knows no RESERVED"
        )
        yield Finding(id="fallback-map", level="degraded", message=text, source=_APPEND)


# What the in-place sanitiser of old kernels had no room for; its rows are among
# those that the view calls dropped.
def _cut(case: Situation) -> Sequence[Row]:
    if not case.view.dropped or not case.has("sanitize-in-place"):
        return ()
    if case.inp.table.size > E820_MAX_ENTRIES_ZEROPAGE:
        return ()
    return sanitize_rows(
        case.inp.table.tolist(),
        capacity=E820_MAX_ENTRIES_ZEROPAGE,
        never_merge=case.profile.never_merge,
    ).cut


def _truncated(cut: Sequence[Row]) -> Iterator[Finding]:
    if cut:
        yield _about_rows(
            "truncated",
            cut,
            f"{counted(len(cut), 'entry')} cut from the top of the table, which is "
            "resolved where it lies, in 128 slots",
            _IN_PLACE,
        )


def _dropped(case: Situation, cut: Sequence[Row]) -> Iterator[Finding]:
    named = set(cut)
    rows = [row for row in case.view.dropped if row not in named]
    if rows:
        text = f"{counted(len(rows), 'entry')} lost"
        yield _about_rows("dropped-entry", rows, text, _RANGE_ADD)


def _about_rows(ident: str, rows: Sequence[Row], text: str, source: str) -> Finding:
    ram = sum(size for _, size, kind in rows if kind == E820_TYPE_RAM)
    first = rows[0]
    return Finding(
        id=ident,
        level="degraded" if ram else "note",
        message=(
            f"{text}, the first at {first[0]:#x} with size {first[1]:#x}, "
            f"{type_text(first[2])}; {ram:#x} bytes of RAM go with them"
        ),
        source=source,
    )


def _type_128(case: Situation) -> Iterator[Finding]:
    rows = case.input_table.entries[case.input_table.is_of(E820_TYPE_RESERVED_KERN)]
    # Of a kernel without a model nobody can say.
    if not rows.size or not case.profile.is_modelled:
        return
    is_memory = case.has("type-128-is-memory") and case.has("memblock")
    if is_memory:
        text = "memory here, and none to kernels from 6.15 on and before 2.6.37"
    else:
        text = "no memory to this kernel, but to those from 2.6.37 to 6.14"
    yield Finding(
        id="type-128",
        level="note" if is_memory else "degraded",
        message=(
            f"{counted(rows.size, 'entry')} of type 128, the first at "
            f"{int(rows['addr'][0]):#x}: {text}"
        ),
        source=_KERN,
    )


def _ram_lost(case: Situation) -> Iterator[Finding]:
    # With mem= or memmap= the user asked for less; a dead boot lost all of it.
    view = case.view
    if view.user_map is not None or view.fatal is not None:
        return
    if case.input_table.is_refused:
        return
    ram = case.input_table.resolved().bytes_of(E820_TYPE_RAM)
    lost = ram.pages_inside() - case.usable
    if TRIMMED_PAGES.covers(lost):
        return
    # Nodes are reserved for ever, and before memblock no memory at all.
    lost = lost - (TRIMMED_PAGES | _pages_of_nodes(case)) - case.deposits
    if lost:
        text = (
            f"{counted(lost.nr_pages, 'page')} of RAM in the table not used, the first "
            f"at PFN {next(iter(lost))[0]:#x}"
        )
        yield Finding(
            id="ram-lost",
            level="degraded",
            message=text,
            extents=tuple(lost)[:LISTED],
            source=_MEMBLOCK,
        )


def _pages_of_nodes(case: Situation) -> ExtentSet:
    nodes = case.inp.setup_data or ()
    limit = ByteRangeSet.LIMIT
    return ByteRangeSet(node.span.below(limit) for node in nodes).pages_touched()
