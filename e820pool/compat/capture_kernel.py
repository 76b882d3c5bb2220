"""What a capture kernel (kdump) lacks or reads, under a handoff and after a load."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE, E820_TYPE_RAM
from e820pool.compat.verdict import finding_about
from e820pool.findings import Finding
from e820pool.kernel.resources import named_rows
from e820pool.loading.capture import TOOLS_CRASH_ENTRIES, entries_before_own_ram
from e820pool.type_words import resource_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.compat.situation import Situation
    from e820pool.extents import ByteRangeSet, ExtentSet
    from e820pool.loading.kexec_loaders import HandedOver

__all__ = (
    "findings_of_capture",
    "findings_of_dump",
    "findings_of_handed_over",
    "of_capture_kernel",
)

_SLOTS = E820_MAX_ENTRIES_ZEROPAGE
_FILE = "5.3 to 7.3 arch/x86/kernel/crash.c crash_setup_memmap_entries()"
_TOOLS = "kexec-tools 2.0.25 kexec/arch/i386/crashdump-x86.c CRASH_MAX_MEMMAP_NR"
_DUMP = (
    "5.10 to 7.3 arch/x86/kernel/crash.c walk_system_ram_res(); kexec-tools 2.0.25 "
    "kexec/arch/i386/crashdump-x86.c get_crash_memory_ranges()"
)
_ABOUT_LATER = {"not-reserved", "pool-record-lost", "lost-on-next-kexec", "entry-creep"}
_CRASHKERNEL = re.compile(r"(?:^|\s)crashkernel=(\S+)")


def findings_of_capture(case: Situation) -> Iterator[Finding]:
    """Yield that a capture kernel of this kernel would have no RAM of its own.

    Only where the command line keeps memory for one (``crashkernel=``).
    """
    if case.view.fatal is not None:
        return
    words = _CRASHKERNEL.findall(case.inp.cmdline)
    if not words or not case.has("kexec-file-load"):
        return
    ranges = [
        (addr, addr + size, resource_name(kind))
        for addr, size, kind in named_rows(case.view.table, case.profile)
    ]
    before = entries_before_own_ram(ranges, case.profile)
    # A range above 4 GiB comes with one below it, which is put in first.
    before += any(word.endswith(",high") for word in words)
    if before >= _SLOTS:
        yield _table_full(before)


def of_capture_kernel(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without those about what comes later.

    Nobody rebuilds a pool there, and it starts no other kernel: a dump ends in a reset.
    """
    return [finding for finding in findings if finding.id not in _ABOUT_LATER]


def findings_of_handed_over(handed: HandedOver) -> Iterator[Finding]:
    """Yield what a loader has left out of a capture kernel's table."""
    lost = [row for row in handed.lost if row[2] == E820_TYPE_RAM]
    if lost:
        yield _table_full(len(handed.table) + len(handed.lost) - len(lost))
    elif handed.lost:
        message = (
            f"kexec-tools leave {len(handed.lost)} RESERVED ranges out of the capture "
            f"kernel's table: {TOOLS_CRASH_ENTRIES} fit, its RAM among them"
        )
        yield Finding(
            id="capture-table-cut", level="note", message=message, source=_TOOLS
        )


def findings_of_dump(deposits: ExtentSet, dumped: ByteRangeSet) -> Iterator[Finding]:
    """Yield which deposits a capture kernel reads while it saves the dump."""
    read = deposits & dumped.pages_touched()
    if read:
        text = "the dump holds {pages}: whoever copies /proc/vmcore reads them"
        yield finding_about("dump-reads-deposits", "unsafe", read, text, _DUMP)


def _table_full(before: int) -> Finding:
    message = (
        f"a capture kernel loaded by kexec_file_load has no RAM of its own: {before} "
        f"entries come before it, and {_SLOTS} fit; kexec -c -p, or "
        "'e820pool kexec --panic', has room"
    )
    return Finding(
        id="capture-table-full", level="degraded", message=message, source=_FILE
    )
