"""The holes below 4 GiB in which a kernel gives addresses to PCI devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.compat.verdict import finding_about
from e820pool.extents import PAGE_SHIFT, ByteRangeSet, Span, round_up
from e820pool.findings import Finding
from e820pool.kernel.early_memory import max_pfn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e820pool.compat.situation import Situation
    from e820pool.range_lists import Row

__all__ = ("findings_of_pci_gap", "pci_gap")

_SOURCE = "5.10 to 7.3 arch/x86/kernel/e820.c e820_search_gap(), e820__setup_pci_gap()"
_CANDIDATES = (
    "7.3 drivers/pci/setup-res.c __pci_assign_resource(): PCIBIOS_MIN_MEM; "
    "arch/x86/kernel/e820.c e820__setup_pci_gap(), e820__reserve_resources_late()"
)
_MAX_GAP_END = 1 << 32
_BELOW_4_GIB = ByteRangeSet([(0, _MAX_GAP_END)])
_LEAST_GAP = 4 << 20
_ABOVE_RAM = 1 << 20
_U64_MASK = (1 << 64) - 1


def findings_of_pci_gap(case: Situation) -> Iterator[Finding]:
    """Yield deposits that devices can be put over, and a gap that lost entries moved.

    The gap's start is a lower bound and no more: from there on up to 4 GiB every hole
    is a candidate that no entry names. What follows RAM up to the next 64 MiB is none:
    it becomes a resource, "RAM buffer".
    """
    view = case.view
    if not case.deposits or not view.table or view.fatal is not None:
        return
    gap = _gap_of(case, view.table)
    above = Span(gap.start, max(gap.end, _MAX_GAP_END))
    # What an entry names is no place for a device, even where the gap is none.
    holes = ByteRangeSet([above]) - case.table.covered
    hit = case.deposits & holes.pages_touched()
    if hit:
        holes -= _ram_buffers(view.table)
        hit &= holes.pages_touched()
    if hit:
        text = (
            "PCI devices can be given addresses in the table's holes from "
            f"{gap.start:#x} on, over {{pages}}"
        )
        yield finding_about("pci-gap-moved", "unsafe", hit, text, _CANDIDATES)
    elif view.dropped or view.user_map is not None:
        yield from _moved(case, gap)


# e820__reserve_resources_late(), 2.6.32 to 7.3: RAM is rounded up, as firmware may have
# kept the rest for itself.
def _ram_buffers(rows: Sequence[Row]) -> ByteRangeSet:
    limit = ByteRangeSet.LIMIT
    buffers = []
    for addr, size, kind in rows:
        if kind == E820_TYPE_RAM:
            end = (addr + size) & _U64_MASK
            buffers.append((end, min(round_up(end, _ram_alignment(end)), limit)))
    return ByteRangeSet.of_valid(buffers)


def _ram_alignment(addr: int) -> int:
    if addr < 1 << 20:
        return 64 << 10
    return 1 << 20 if addr < 16 << 20 else 64 << 20


def _gap_of(case: Situation, rows: Sequence[Row]) -> Span:
    hole = _hole(rows, upwards=case.has("pci-gap-searched-upwards"))
    return hole or _above_ram(rows, counts_acpi=case.has("max-pfn-counts-acpi"))


def _moved(case: Situation, gap: Span) -> Iterator[Finding]:
    if case.input_table.is_refused:
        return
    deposits = case.deposits.to_bytes() & _BELOW_4_GIB
    whole = _gap_of(case, case.input_table.reserving(deposits).rows())
    if whole != gap:
        message = (
            f"the gap for PCI devices is {gap} and not {whole} as in the whole table"
        )
        yield Finding(id="pci-gap-moved", level="note", message=message, source=_SOURCE)


def pci_gap(rows: Sequence[Row], *, upwards: bool, counts_acpi: bool = False) -> Span:
    """Return the largest hole below 4 GiB, of 4 MiB at least, in bytes.

    Where there is none, 4 MiB are taken 1 MiB above the end of RAM, whatever is there.

    Args:
        rows: the kernel's table, in its order.
        upwards: as from 7.0 on: the hole below the first entry counts, and of
            equal ones the highest is taken; before, the lowest.
        counts_acpi: whether ACPI tables are RAM when it comes to the end of RAM.
    """
    hole = _hole(rows, upwards=upwards)
    return hole or _above_ram(rows, counts_acpi=counts_acpi)


def _hole(rows: Sequence[Row], *, upwards: bool) -> Span | None:
    return _upwards(rows) if upwards else _downwards(rows)


def _above_ram(rows: Sequence[Row], *, counts_acpi: bool) -> Span:
    start = (max_pfn(rows, counts_acpi=counts_acpi) << PAGE_SHIFT) + _ABOVE_RAM
    return Span.at(start, _LEAST_GAP)


def _downwards(rows: Sequence[Row]) -> Span | None:
    last, best, length = _MAX_GAP_END, None, _LEAST_GAP
    for addr, size, _ in reversed(rows):
        end = (addr + size) & _U64_MASK
        if last > end and last - end >= length:
            best, length = Span(end, last), last - end
        last = min(last, addr)
    return best


def _upwards(rows: Sequence[Row]) -> Span | None:
    reach, best, length = 0, None, _LEAST_GAP
    for addr, size, _ in (*rows, (_MAX_GAP_END, 0, 0)):
        start, end = reach, min(addr, _MAX_GAP_END)
        if addr > reach and start < _MAX_GAP_END and end - start >= length:
            best, length = Span(start, end), end - start
        reach = (addr + size) & _U64_MASK
    return best
