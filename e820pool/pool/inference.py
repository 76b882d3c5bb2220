"""A pool without a record: what is RESERVED now and was RAM to the firmware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.handoff.hot_add import held_bytes
from e820pool.kernel.table_edits import TRIMMED_PAGES
from e820pool.pool.agreement import pool_finding, refusal
from e820pool.pool.claims import Claim
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.findings import Finding
    from e820pool.kernel.view import KernelView
    from e820pool.memory_map import MemoryMap

__all__ = ("infer_claim",)

_TRIM = "arch/x86/kernel/setup.c trim_bios_range()"


def infer_claim(
    view: KernelView, table: E820Table, firmware_map: MemoryMap
) -> tuple[Claim | None, tuple[Finding, ...]]:
    """Return the claim that explains the table, None when there is no telling.

    Args:
        view: what the kernel made of its handoff.
        table: the same kernel's table, resolved.
        firmware_map: the firmware's own map, before any deposit.

    Returns:
        The claim, its owners unknown (0), and what there is to say about it.
    """
    reserved = table.bytes_of(E820_TYPE_RESERVED)
    ram = firmware_map.with_devices_of(reserved.pages_inside()).bytes_of(E820_TYPE_RAM)
    both = ram & reserved
    inferred = both.pages_inside() - TRIMMED_PAGES
    refusals = (*_missing(ram, table), *_not_as_given(inferred, view))
    if refusals:
        return None, refusals
    if not inferred:
        message = "no page is RESERVED that was RAM to the firmware: nothing to infer"
        return None, (refusal("inference-empty", message),)
    notes = [
        pool_finding(
            "inferred",
            "note",
            inferred,
            "{pages} were RAM to the firmware and are RESERVED now: taken for the "
            "pool without a record, whole pages only, owners not known",
        )
    ]
    if parts := both.pages_touched() - both.pages_inside() - TRIMMED_PAGES:
        text = "{pages} are RESERVED in part: no deposit, left out"
        notes.append(pool_finding("inference-partial-page", "note", parts, text))
    deposits = (Deposit(start_pfn=start, end_pfn=end) for start, end in inferred)
    return Claim(ledger=DepositLedger(deposits)), tuple(notes)


def _missing(ram: ByteRangeSet, table: E820Table) -> Iterator[Finding]:
    # Entries that a kernel dropped, or that never arrived, may have been deposits.
    if gone := (ram - table.covered).pages_inside() - TRIMMED_PAGES:
        yield pool_finding(
            "inference-incomplete",
            "degraded",
            gone,
            "{pages} were RAM to the firmware and are not in the table at all: "
            "entries may be lost, deposits among them",
        )


def _not_as_given(inferred: ExtentSet, view: KernelView) -> Iterator[Finding]:
    # Reserved by this kernel or its command line, not by who made the handoff.
    rows = view.extended_map if view.extended_map is not None else view.bios_map
    if not rows:
        return
    try:
        table = E820Table.of(rows).resolved()
        reserved = table.bytes_of(E820_TYPE_RESERVED) | held_bytes(table)
        arrived = reserved.pages_inside()
    except InputError:
        arrived = ExtentSet()
    if late := inferred - arrived:
        yield pool_finding(
            "inference-ambiguous",
            "degraded",
            late,
            "{pages} were reserved by the kernel or its command line, not by the "
            "handoff: deposits cannot be told from them",
            _TRIM,
        )
