"""What a handoff itself says of its deposits, whatever kernel reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_TYPE_RAM,
    E820_TYPE_RESERVED_KERN,
)
from e820pool.compat.verdict import finding_about
from e820pool.extents import ByteRangeSet, Span
from e820pool.handoff.hot_add import KEPT_TYPES
from e820pool.handoff.model import COMMAND_LINE_SIZE
from e820pool.handoff.placement import SCAN_SOURCE, SCANNED_PAGES
from e820pool.kernel.setup_data_nodes import kho_preserved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.compat.situation import Situation
    from e820pool.extents import ExtentSet
    from e820pool.findings import Finding
    from e820pool.kernel.boot_input import BootInput
    from e820pool.table import E820Table

__all__ = ("findings_of_every_kernel",)

# Of every kernel: it reads an entry without a look at what lies over it, or loses one
# that does.
_RAW = (
    "arch/x86/boot/compressed/kaslr.c process_e820_entries(), before KASLR "
    "arch/x86/kernel/e820.c e820_add_region()"
)
_AGREEMENT = "specs/pool.md: a record is believed where the table agrees"
_COPY = "arch/x86/kernel/head64.c copy_bootdata(), setup.c parse_setup_data()"


def findings_of_every_kernel(case: Situation) -> Iterator[Finding]:
    """Yield what is wrong with the handoff for every kernel."""
    if case.deposits:
        # A kernel that reads a handover reserves these, whatever the table says.
        preserved = kho_preserved(case.inp, case.profile)
        yield from _of_table(case.deposits - preserved, case.input_table)
        yield from _of_parts(case.deposits, case.inp)
        yield from _of_low_memory(case.deposits)


def _of_table(deposits: ExtentSet, table: E820Table) -> Iterator[Finding]:
    # Memory to memblock: RAM, and up to 6.12 type 128 too.
    memory = table.bytes_of(E820_TYPE_RAM, E820_TYPE_RESERVED_KERN)
    entries = memory.pages_touched()
    exposed = deposits & entries
    if exposed:
        yield finding_about(
            "not-monotone",
            "degraded",
            exposed,
            "a RAM entry covers {pages}: only another entry laid over it protects "
            "them, and where that entry is lost or not looked at they are RAM",
            _RAW,
        )
    yield from _not_reserved(deposits - entries if exposed else deposits, table)


def _not_reserved(deposits: ExtentSet, table: E820Table) -> Iterator[Finding]:
    missing = deposits - table.bytes_of(*KEPT_TYPES).pages_inside()
    if missing:
        yield finding_about(
            "not-reserved",
            "degraded",
            missing,
            "{pages} are neither RAM nor RESERVED in the table: no kernel uses them, "
            "and no pool record that names them is believed",
            _AGREEMENT,
        )


# Each part of the handoff that every kernel reads out of a deposit.
def _of_parts(deposits: ExtentSet, inp: BootInput) -> Iterator[Finding]:
    for part, span in _parts(inp):
        if not deposits.overlaps(*span.pages_touched()):
            continue
        hit = deposits & ByteRangeSet([span.below(ByteRangeSet.LIMIT)]).pages_touched()
        if hit:
            text = f"the kernel reads its {part} at {span}, over "
            yield finding_about(
                "part-in-deposit", "unsafe", hit, text + "{pages}", _COPY
            )


# Deposits that every kernel reads, whatever any table says.
def _of_low_memory(deposits: ExtentSet) -> Iterator[Finding]:
    hit = deposits & SCANNED_PAGES
    if hit:
        text = "kernels look for firmware's tables in {pages}, RESERVED or not"
        yield finding_about("firmware-table-scan", "unsafe", hit, text, SCAN_SOURCE)


def _parts(inp: BootInput) -> Iterator[tuple[str, Span]]:
    # An address of 0 is none; a command line is copied at its full length.
    if inp.boot_params_range is not None and inp.boot_params_range.start:
        yield "boot_params", inp.boot_params_range
    if inp.cmdline_range is not None:
        yield "command line", Span.at(inp.cmdline_range.start, COMMAND_LINE_SIZE)
    if inp.initrd is not None:
        yield "initrd", inp.initrd
    for at, node in enumerate(inp.setup_data or ()):
        yield f"setup_data node {at}", node.span
        if node.indirect is not None:
            yield f"setup_data node {at}'s target", Span.at(*node.indirect[:2])
