"""What is lost when this kernel hands its table to the next one by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED_KERN,
)
from e820pool.compat.verdict import finding_about
from e820pool.findings import Finding
from e820pool.handoff.hot_add import KEPT_TYPES
from e820pool.loading.kexec_loaders import by_kexec_file, by_kexec_tools
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.compat.situation import Situation
    from e820pool.loading.kexec_loaders import HandedOver

__all__ = ("findings_of_next_kexec", "without_file_load")

_SLOTS = E820_MAX_ENTRIES_ZEROPAGE

# A table that is full after fewer kexecs than this is worth a word.
_CREEP_HOPS = 8

_FILE_LOAD = "arch/x86/kernel/kexec-bzimage64.c setup_e820_entries()"
_TOOLS = "kexec-tools 2.0.25 kexec/arch/i386/kexec-x86-common.c, x86-linux-setup.c"
_MARK = "4.14 to 6.6 arch/x86/kernel/e820.c e820__reserve_setup_data()"


def findings_of_next_kexec(case: Situation) -> Iterator[Finding]:
    """Yield what kexec_file_load() and kexec-tools would not pass on."""
    if case.view.fatal is not None:
        return
    yield from _by_file_load(case)
    yield from _by_tools(case)
    yield from _creep(case)


def without_file_load(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings as they are where kexec_load() loads whatever comes next.

    Notes on what kexec_file_load() passes on are left out. That a capture kernel would
    have no RAM when loaded by that call is a note: the other call has room, and
    ``kexec --panic`` uses it.
    """
    return tuple(
        replace(finding, level="note")
        if finding.id == "capture-table-full"
        else finding
        for finding in findings
        if finding.level != "note" or finding.source not in (_FILE_LOAD, _MARK)
    )


def _by_file_load(case: Situation) -> Iterator[Finding]:
    passed = by_kexec_file(case.view)
    if passed is None or not case.has("kexec-file-load"):
        return
    old = case.has("kexec-file-passes-saved-map")
    table = "e820_saved" if old else "e820_table_kexec"
    if case.view.user_map is not None:
        yield from _as_ram(case, passed, "kexec_file_load", table, _FILE_LOAD)
    if passed.lost:
        yield _cut_off(case, passed, table)


def _by_tools(case: Situation) -> Iterator[Finding]:
    rows, table = case.view.firmware_map, "/sys/firmware/memmap"
    if rows is None or (case.view.user_map is None and len(rows) <= _SLOTS):
        return
    passed = by_kexec_tools(rows)
    if case.view.user_map is not None:
        yield from _as_ram(case, passed, "kexec_load by kexec-tools", table, _TOOLS)
    if passed.lost:
        message = (
            f"kexec-tools take {len(rows) - len(passed.lost)} of the {len(rows)} "
            f"entries of {table}"
        )
        yield Finding(
            id="lost-on-next-kexec", level="note", message=message, source=_TOOLS
        )


# What mem= and memmap= made of the table stays here; the next kernel gets RAM.
def _as_ram(
    case: Situation, passed: HandedOver, syscall: str, table: str, source: str
) -> Iterator[Finding]:
    handed = E820Table.of((*passed.table, *passed.ext))
    ram = handed.bytes_of(E820_TYPE_RAM, E820_TYPE_RESERVED_KERN).pages_touched()
    reserved = handed.bytes_of(*KEPT_TYPES).pages_inside()
    exposed = (case.deposits & ram) - case.usable - reserved
    if exposed:
        text = (
            f"the next kernel, by {syscall}, gets {{pages}} as RAM: {table} does not "
            "have what the command line did to the table"
        )
        yield finding_about("lost-on-next-kexec", "degraded", exposed, text, source)


def _cut_off(case: Situation, passed: HandedOver, table: str) -> Finding:
    kept, lost = len(passed.table), passed.lost
    ram = sum(size for _, size, kind in lost if kind == E820_TYPE_RAM)
    reserved = E820Table.of(lost).bytes_of(*KEPT_TYPES)
    gaps = case.deposits & reserved.pages_inside()
    text = (
        f"kexec_file_load passes on {kept} of the {kept + len(lost)} entries of "
        f"{table} and no SETUP_E820_EXT: {ram:#x} bytes of RAM are lost"
    )
    if gaps:
        text += ", and {pages} become a gap: no RAM, but no pool is rebuilt from it"
    return finding_about("lost-on-next-kexec", "note", gaps, text, _FILE_LOAD)


# A node's RAM stays apart in what kexec_file_load() passes on, for ever.
def _creep(case: Situation) -> Iterator[Finding]:
    view = case.view
    if view.kexec_map is None or not case.has("kexec-file-load"):
        return
    before = len(view.bios_map if view.extended_map is None else view.extended_map)
    after = len(view.kexec_map)
    growth, room = after - before, _SLOTS - after
    if growth <= 0 or room < -growth or room >= _CREEP_HOPS * growth:
        return
    spent = f"after {room // growth} more kexecs with such nodes" if room > 0 else "now"
    message = (
        f"setup_data nodes make {growth} more entries of the {before} that "
        f"kexec_file_load passes on: {spent} the 128 are used up"
    )
    yield Finding(id="entry-creep", level="note", message=message, source=_MARK)
