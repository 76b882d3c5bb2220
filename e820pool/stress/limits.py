"""The limits that deposits run into, what each is measured by, and when it falls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from e820pool.abi.e820 import E820_ENTRY_BYTES, E820_MAX_ENTRIES_ZEROPAGE
from e820pool.abi.setup_data import NODE_HEADER_BYTES
from e820pool.handoff.model import COMMAND_LINE_SIZE
from e820pool.kernel.zero_page import EARLY_MAP_BYTES

if TYPE_CHECKING:
    from e820pool.extents import ExtentSet

__all__ = (
    "LIMITS",
    "Demand",
    "Fall",
    "Limit",
    "Measure",
    "Sample",
    "SimulationOutcome",
    "memmap_chars",
    "table_demand",
)

# Fragments at the top of RAM, each with a page table, with which every kernel was seen
# to boot. What ends a boot counts other reservations too (kernel/early_memory.py).
_FRAGMENTS_SEEN_TO_BOOT = 100

Measure = Literal[
    "entries", "table", "slots", "regions", "chars", "fragments", "capture"
]
"""What a limit counts; the fields of :class:`Demand`."""


class Demand(NamedTuple):
    """What a host's deposits need at one moment.

    Attributes:
        entries: in the table that is handed over.
        table: in a kernel's own table, once it has split what it reserves.
        slots: runs of RAM among the first 128 entries, at least this many.
        regions: separate ``memmap=`` regions.
        chars: of the ``memmap=`` option; at least this many where it is far from the
            limit, exact where it is near.
        fragments: of RAM above the highest whole 2 MiB, that need page tables.
        capture: entries that kexec_file_load(2) writes before a capture kernel's own
            RAM: what is no RAM, and RAM below 1 MiB.
    """

    entries: int
    table: int
    slots: int
    regions: int
    chars: int
    fragments: int
    capture: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of entries.

    Attributes:
        name: stable, for tables, JSON and CSV.
        measure: the field of :class:`Demand` that it bounds.
        most: the largest value that is within it.
        meaning: what happens above it, in a few words.
        source: release, file and name.
    """

    name: str
    measure: Measure
    most: int
    meaning: str
    source: str

    def is_within(self, demand: Demand) -> bool:
        """Return whether the demand is within the limit."""
        return int(getattr(demand, self.measure)) <= self.most


# A zero page, and a node of its own that begins on a page.
_EXT_ENTRIES = (
    E820_MAX_ENTRIES_ZEROPAGE
    + (EARLY_MAP_BYTES - NODE_HEADER_BYTES) // E820_ENTRY_BYTES
)

LIMITS = (
    Limit(
        name="kaslr-memmap",
        measure="regions",
        most=4,
        meaning="KASLR may put the kernel into a fifth memmap= region",
        source="4.14 to 7.3 arch/x86/boot/compressed/kaslr.c MAX_MEMMAP_REGIONS",
    ),
    Limit(
        name="memmap-cmdline",
        measure="chars",
        most=COMMAND_LINE_SIZE - 1,
        meaning="memmap= is cut with the command line",
        source="all arch/x86/include/asm/setup.h COMMAND_LINE_SIZE",
    ),
    Limit(
        name="kaslr-slots",
        measure="slots",
        most=100,
        meaning="KASLR does not look at the rest of memory",
        source="4.8 to 7.3 arch/x86/boot/compressed/kaslr.c MAX_SLOT_AREA",
    ),
    Limit(
        name="fragments",
        measure="fragments",
        most=_FRAGMENTS_SEEN_TO_BOOT,
        meaning="a kernel may die while it maps the top of RAM",
        source="5.15 to 7.3 arch/x86/mm/init.c memory_map_top_down(); booted",
    ),
    Limit(
        name="zero-page",
        measure="entries",
        most=E820_MAX_ENTRIES_ZEROPAGE,
        meaning="the rest goes to SETUP_E820_EXT; kexec_file_load cuts it off",
        source="all include/uapi/asm/setup_data.h E820_MAX_ENTRIES_ZEROPAGE",
    ),
    Limit(
        name="table-131",
        measure="table",
        most=131,
        meaning="a kernel without NUMA drops entries, and their RAM",
        source="2.6.32 to 7.3 arch/x86 E820_X_MAX, E820_MAX_ENTRIES, NODES_SHIFT=0",
    ),
    Limit(
        name="capture-table",
        measure="capture",
        most=E820_MAX_ENTRIES_ZEROPAGE - 1,
        meaning="a capture kernel by kexec_file_load has no RAM: no dump",
        source="5.3 to 7.3 arch/x86/kernel/crash.c crash_setup_memmap_entries(); "
        "booted",
    ),
    Limit(
        name="table-320",
        measure="table",
        most=320,
        meaning="a kernel with NODES_SHIFT=6 drops entries, and their RAM",
        source="2.6.32 to 7.3 arch/x86 E820_X_MAX, E820_MAX_ENTRIES, NODES_SHIFT=6",
    ),
    Limit(
        name="kexec-tools",
        measure="entries",
        most=2048,
        meaning="kexec-tools refuses the machine",
        source="kexec-tools 2.0.25 kexec/arch/i386/kexec-x86.h MAX_MEMORY_RANGES",
    ),
    Limit(
        name="table-3200",
        measure="table",
        most=3200,
        meaning="a kernel with NODES_SHIFT=10 drops entries, and their RAM",
        source="2.6.32 to 7.3 arch/x86 E820_X_MAX, E820_MAX_ENTRIES, NODES_SHIFT=10",
    ),
    Limit(
        name="ext-node",
        measure="entries",
        most=_EXT_ENTRIES,
        meaning="SETUP_E820_EXT cannot be mapped, and the kernel dies",
        source="2.6.32 to 7.3 arch/x86/include/asm/fixmap.h NR_FIX_BTMAPS; booted",
    ),
)
"""In the order in which deposits apart from each other run into them."""

# trim_bios_range() takes page 0 out of RAM (arch/x86/kernel/setup.c), and each
# setup_data node that a kernel reserves splits the RAM it lies in.
_PAGE_ZERO = 1
_PER_NODE = 2


def table_demand(entries: int) -> int:
    """Return what a kernel's table must hold for a table of so many entries.

    The record's node splits RAM, and from 129 entries on that of SETUP_E820_EXT too.
    """
    nr_nodes = 1 + (entries > E820_MAX_ENTRIES_ZEROPAGE)
    return entries + _PAGE_ZERO + _PER_NODE * nr_nodes


def memmap_chars(pages: ExtentSet) -> int:
    """Return the length of ``memmap=size$start,...`` for the runs of ``pages``."""
    items = (
        len(f"{(end - start) << 12:#x}${start << 12:#x}") + 1 for start, end in pages
    )
    # One separator fewer than items.
    return len("memmap=") + sum(items) - 1


class Sample(NamedTuple):
    """One point of the curves, after so many deposit calls.

    Attributes:
        call: deposit calls so far.
        day: since the start.
        guests: that live now.
        created: guests so far.
        deposited_pages: that the hypervisor has now.
        reserved_pages: that the next kernel must not use; more than deposited where
            whole arenas are kept from it.
        regions: runs of reserved pages.
        split: entries of the encoding ``split``.
        hybrid: entries of the encoding ``hybrid``.
    """

    call: int
    day: float
    guests: int
    created: int
    deposited_pages: int
    reserved_pages: int
    regions: int
    split: int
    hybrid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """When a limit was first exceeded, and by what."""

    limit: str
    value: int
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOutcome:
    """What became of one policy under one workload.

    Attributes:
        encoding: whose entries were held against the limits.
        samples: in order; the last one is the end.
        falls: the limits that fell, in order; one that is missing never did.
        peak: the sample with the most entries of the encoding.
        failed_calls: deposits for which there were no pages.
        failed_guests: guests for which there was no memory.
        reserved: what the next kernel must not use, at the end.
        reason: why there was nothing to simulate, "" where there was.
    """

    policy: str
    seed: int
    encoding: str
    samples: tuple[Sample, ...] = ()
    falls: tuple[Fall, ...] = ()
    peak: Sample | None = None
    failed_calls: int = 0
    failed_guests: int = 0
    reserved: ExtentSet | None = field(default=None, compare=False)
    reason: str = ""
