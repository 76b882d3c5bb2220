"""Whether a kernel's own table agrees that pages are a pool's: RESERVED throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    E820_TYPE_RESERVED_KERN,
)
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.findings import LISTED, Finding, Level
from e820pool.handoff.hot_add import held_bytes
from e820pool.kernel.view import KernelView
from e820pool.memory_devices import addable_bytes
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.range_lists import Row

__all__ = (
    "disagreements",
    "kept_table",
    "pool_finding",
    "read_view",
    "refusal",
)

_RAM_OR_RESERVED = (E820_TYPE_RAM, E820_TYPE_RESERVED_KERN, E820_TYPE_RESERVED)
_MEMBLOCK = "arch/x86/kernel/e820.c e820__memblock_setup()"
_IMAGE = "arch/x86/kernel/setup.c e820_add_kernel_range()"


def read_view(
    view: KernelView | Iterable[Row],
) -> tuple[KernelView, E820Table | None, tuple[Finding, ...]]:
    """Return the view, its resolved table, and what makes it no basis for a pool.

    Plain ``(addr, size, type)`` rows are a view of which only the table is known.
    """
    if not isinstance(view, KernelView):
        view = KernelView(kernel="unknown", engine="machine", table=tuple(view))
    if view.fatal is not None:
        message = f"the boot ends ({view.fatal}): there is no table to agree with"
        return view, None, (refusal("kernel-not-booted", message),)
    rows = view.extended_map if view.extended_map is not None else view.bios_map
    try:
        booted = E820Table.of(rows or ())
        resolved = None if booted.is_refused else booted.resolved()
        return view, kept_table(view.table, resolved), ()
    except InputError as exc:
        message = f"the kernel's table cannot be read: {exc}"
        return view, None, (refusal("table-unreadable", message),)


def kept_table(rows: Iterable[Row], booted: E820Table | None = None) -> E820Table:
    """Return the resolved table in which a deposit's type 3 is RESERVED, too.

    A kernel makes type 3 of its own memory where it replaces ACPI tables (6.1
    drivers/acpi/tables.c acpi_table_upgrade()). So type 3 counts only where it holds a
    whole memory block, or was in the table that the kernel was booted with.

    Args:
        rows: the kernel's table.
        booted: the resolved table that it was started with, where that is known.

    Raises:
        InputError: an entry reaches 2^64.
    """
    table = E820Table.of(rows).resolved()
    acpi = table.bytes_of(E820_TYPE_ACPI)
    kept = ByteRangeSet(span for span in acpi if addable_bytes(ByteRangeSet([span])))
    if booted is not None:
        kept |= acpi & held_bytes(booted)
    if not kept:
        return table
    types = sorted(set(table.entries["type"].tolist()))
    parts = [(span, kind) for kind in types for span in table.bytes_of(kind) - kept]
    parts += [(span, E820_TYPE_RESERVED) for span in kept]
    return E820Table.of((a, b - a, kind) for (a, b), kind in parts).resolved()


def disagreements(
    extents: ExtentSet, view: KernelView, table: E820Table
) -> Iterator[Finding]:
    """Yield every way in which pages are not RESERVED, or not left alone."""
    yield from _in_use(extents, view, table)
    yield from _not_reserved(extents, table)


def pool_finding(
    ident: str, level: Level, extents: ExtentSet, message: str, source: str = ""
) -> Finding:
    """Return a finding of which the message has ``{pages}`` where they are named."""
    start, end = next(iter(extents))
    pages = f"{extents.nr_pages:#x} page(s), first PFNs [{start:#x}, {end:#x}),"
    return Finding(
        id=ident,
        level=level,
        message=message.format(pages=pages),
        extents=tuple(extents)[:LISTED],
        source=source,
    )


def refusal(ident: str, message: str) -> Finding:
    """Return the finding that there is no pool, or no telling which."""
    return Finding(id=ident, level="degraded", message=message)


def _in_use(
    extents: ExtentSet, view: KernelView, table: E820Table
) -> Iterator[Finding]:
    # Kernels up to 6.12 take type 128 for RAM too.
    ram = table.bytes_of(E820_TYPE_RAM, E820_TYPE_RESERVED_KERN)
    image = ByteRangeSet(r for r in (view.kernel_range, view.load_window) if r)
    cases = (
        ("extent-is-ram", ram.pages_touched(), "are RAM in the table", _MEMBLOCK),
        ("extent-is-usable", view.usable_pages(), "are the kernel's memory", _MEMBLOCK),
        ("extent-under-kernel", image.pages_touched(), "lie under the kernel", _IMAGE),
    )
    for ident, pages, clause, source in cases:
        if hit := extents & pages:
            text = f"{{pages}} {clause}: the kernel may be using them"
            yield pool_finding(ident, "unsafe", hit, text, source)
    for pages in filter(None, (view.touched, view.touched_deposits)):
        if hit := extents & pages:
            yield pool_finding(
                "extent-touched", "unsafe", hit, "{pages} were read or written"
            )
            return


def _not_reserved(extents: ExtentSet, table: E820Table) -> Iterator[Finding]:
    missing = extents - table.covered.pages_inside()
    top = table.covered.pages_touched().ends[-1:]
    above = missing & ExtentSet([(int(top.sum()), ExtentSet.LIMIT)])
    other = table.bytes_but(*_RAM_OR_RESERVED)
    cases = (
        ("extent-beyond-memory", above, "lie beyond the table's last entry"),
        ("extent-not-in-table", missing - above, "are not wholly in the table"),
        ("extent-wrong-type", extents & other.pages_touched(), "are not RESERVED"),
    )
    for ident, pages, clause in cases:
        if pages:
            text = f"{{pages}} {clause}: nothing says that they were kept"
            yield pool_finding(ident, "degraded", pages, text)
