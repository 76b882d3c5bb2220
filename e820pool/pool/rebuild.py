"""rebuild: the pool of a booted kernel, or the reasons why there is none.

Without a record it is what is RESERVED now and was RAM to the firmware.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.findings import Finding, Level, worst_level
from e820pool.handoff.hot_add import held_bytes
from e820pool.kernel.table_edits import TRIMMED_PAGES
from e820pool.pool.agreement import disagreements, pool_finding, read_view, refusal
from e820pool.pool.claims import Claim, doubts, read_record
from e820pool.pool.pool import Pool
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.abi.pool_record import PoolRecord
    from e820pool.kernel.view import KernelView
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.option import PmpoolOption
    from e820pool.range_lists import Row

__all__ = ("PoolCarrier", "RebuildResult", "infer_claim", "rebuild")

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


_RECORD_MISSING = refusal(
    "record-missing",
    "there is no pool record, and no firmware's map to infer the pool from",
)

PoolCarrier = Literal["setup_data", "pmpool", "file", "inference"]
"""How the pool came over: a setup_data node, the region's first page, a file that was
kept at the kexec, not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildResult:
    """A pool, or why there is none; never a part of a pool.

    Attributes:
        pool: None when anything at all speaks against it.
        ledger: what the pool holds, None without one.
        findings: refusals (``degraded``, ``unsafe``) and notes.
        carrier: where the pool, or the refused record, came from.
        generation: that of the record, 0 without one; the next handoff has one more.
    """

    pool: Pool | None
    ledger: DepositLedger | None
    findings: tuple[Finding, ...]
    carrier: PoolCarrier
    generation: int = 0

    @property
    def level(self) -> Level | None:
        """Return the highest level of the findings, None without findings."""
        return worst_level(self.findings)


def rebuild(
    view: KernelView | Iterable[Row],
    record: bytes | PoolRecord | None = None,
    firmware_map: MemoryMap | None = None,
    *,
    region: PmpoolOption | None = None,
    expected_generation: int | None = None,
) -> RebuildResult:
    """Return the pool, if everything speaks for it.

    A record is believed only where the kernel's own table agrees: every extent
    RESERVED in every byte, and in no use by the kernel. One that is refused is never
    replaced by an inference: it says that there is a pool, and something wrong.

    Args:
        view: what the kernel made of its handoff, or the rows of its table.
        record: the setup_data payload, or what lies at the base of ``region``; None
            infers the pool from the two maps.
        firmware_map: the firmware's own, or the kernel's copy with deposits in it.
        region: what ``pmpool=`` on the command line names.
        expected_generation: the least that the record must have.

    Raises:
        InputError: an entry of ``firmware_map`` reaches 2^64.

    Example:
        >>> from e820pool import DepositLedger, MemoryMap, build
        >>> machine = MemoryMap.of([(0x0, 0x9F000, 1), (0x10_0000, 0x7FF0_0000, 1)])
        >>> ledger = DepositLedger.of_ranges(["1G+2M"], owner=7)
        >>> handoff = build(machine, ledger)
        >>> rebuild(handoff.table.rows(), handoff.record_bytes()).ledger == ledger
        True
        >>> refused = rebuild(machine.rows(), handoff.record_bytes())
        >>> refused.pool, refused.findings[0].id
        (None, 'extent-is-ram')
    """
    kernel_view, table, findings = read_view(view)
    claim: Claim | None = None
    if table is not None:
        findings = (_RECORD_MISSING,)
        if record is not None:
            claim, findings = read_record(record)
        elif firmware_map is not None:
            claim, findings = infer_claim(kernel_view, table, firmware_map)
    if claim is not None and record is not None:
        findings += tuple(doubts(claim, firmware_map, region, expected_generation))
    believed = claim is not None and _are_notes(findings)
    if claim is not None and table is not None and believed:
        findings += tuple(disagreements(claim.ledger.extents, kernel_view, table))
        believed = _are_notes(findings)
        if believed and firmware_map is not None:
            findings += tuple(_not_recorded(claim, table, firmware_map))
    ledger = claim.ledger if claim is not None and believed else None
    return RebuildResult(
        pool=None if ledger is None else Pool(ledger),
        ledger=ledger,
        findings=findings,
        carrier=_carrier(record, firmware_map, region),
        generation=0 if claim is None else claim.generation,
    )


def _carrier(
    record: bytes | PoolRecord | None,
    firmware_map: MemoryMap | None,
    region: PmpoolOption | None,
) -> PoolCarrier:
    if record is None and firmware_map is not None:
        return "inference"
    return "setup_data" if region is None else "pmpool"


def _are_notes(findings: tuple[Finding, ...]) -> bool:
    return all(finding.level == "note" for finding in findings)


def _not_recorded(
    claim: Claim, table: E820Table, firmware_map: MemoryMap
) -> Iterator[Finding]:
    ram = firmware_map.bytes_of(E820_TYPE_RAM)
    more = (
        (ram & table.bytes_of(E820_TYPE_RESERVED)).pages_inside()
        - TRIMMED_PAGES
        - claim.ledger.extents
    )
    if more:
        text = (
            "{pages} were RAM to the firmware, are RESERVED now and not in the record"
        )
        yield pool_finding("reserved-not-recorded", "note", more, text)
