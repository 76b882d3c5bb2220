"""What a pool record claims, owners included, before any of it is believed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from e820pool.abi.pool_record import (
    MAP_DIGEST_BYTES,
    RECORD_BAD_EXTENTS,
    RECORD_EXTENT,
    RECORD_HEADER,
    RECORD_MINOR,
    BadRecordError,
    PoolRecord,
    parse_record,
)
from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.extents import PAGE_SIZE, ExtentSet
from e820pool.findings import Finding
from e820pool.handoff.hot_add import KEPT_TYPES
from e820pool.memory_map import MemoryMap
from e820pool.pool.agreement import pool_finding, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.pool.option import PmpoolOption

__all__ = (
    "FREE_OWNER",
    "RECORD_OWNER",
    "Claim",
    "doubts",
    "firmware_map_before",
    "read_record",
    "validate_owner",
)

_UNKNOWN_MAP = bytes(MAP_DIGEST_BYTES)
_HEADER_BYTES: int = RECORD_HEADER.sizeof()
_EXTENT_BYTES: int = RECORD_EXTENT.sizeof()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a pool record says.

    Attributes:
        ledger: the deposits, or what stands for them.
        generation: handoffs so far.
        map_digest: names the firmware's map, zeros when its writer did not know it.
        nr_bytes: how many bytes the record fills, at least.
    """

    ledger: DepositLedger
    generation: int = 0
    map_digest: bytes = _UNKNOWN_MAP
    nr_bytes: int = 0


def read_record(
    record: bytes | PoolRecord,
) -> tuple[Claim | None, tuple[Finding, ...]]:
    """Return the claim, or None; and what there is to say about the record."""
    try:
        parsed = parse_record(record) if isinstance(record, bytes) else record
        ledger = _ledger_of(parsed)
    except BadRecordError as exc:
        return None, (refusal(exc.id, str(exc)),)
    except InputError as exc:
        return None, (refusal(RECORD_BAD_EXTENTS, f"pool record: {exc}"),)
    claim = Claim(
        ledger=ledger,
        generation=parsed.generation,
        map_digest=parsed.map_digest,
        nr_bytes=_HEADER_BYTES + len(parsed.extents) * _EXTENT_BYTES,
    )
    if parsed.minor <= RECORD_MINOR:
        return claim, ()
    message = (
        f"the record is of minor version {parsed.minor}, newer than {RECORD_MINOR}: "
        "what that adds is not passed on"
    )
    return claim, (Finding(id="record-newer-minor", level="note", message=message),)


def doubts(
    claim: Claim,
    firmware_map: MemoryMap | None,
    region: PmpoolOption | None,
    expected_generation: int | None,
) -> Iterator[Finding]:
    """Yield why a record is not of this machine, this handoff or this region."""
    if expected_generation is not None and claim.generation < expected_generation:
        message = (
            f"the record is of generation {claim.generation:#x}, older than the "
            f"expected {expected_generation:#x}: later deposits are not in it"
        )
        yield refusal("record-stale", message)
    if firmware_map is not None:
        machine = firmware_map.with_devices_of(claim.ledger.extents)
        yield from _machine_doubts(claim, machine)
    if region is not None:
        yield from _region_doubts(claim, region)


def _region_doubts(claim: Claim, region: PmpoolOption) -> Iterator[Finding]:
    # A record in a region describes all of that region, its own pages too.
    whole = ExtentSet([(region.base_pfn, region.base_pfn + region.nr_pages)])
    if different := (claim.ledger.extents - whole) | (whole - claim.ledger.extents):
        text = f"{{pages}} are only in one of the record and {region}"
        yield pool_finding("record-bad-extents", "degraded", different, text)
    nr_pages = -(-claim.nr_bytes // PAGE_SIZE)
    own = ExtentSet([(region.base_pfn, region.base_pfn + nr_pages)])
    marked = ExtentSet(
        (d.start_pfn, d.end_pfn) for d in claim.ledger if d.owner == RECORD_OWNER
    )
    if unmarked := own - marked:
        text = "{pages} hold the record, which says that they are somebody's"
        yield pool_finding("record-bad-extents", "degraded", unmarked, text)


def _machine_doubts(claim: Claim, firmware_map: MemoryMap) -> Iterator[Finding]:
    digest = firmware_map.digest()
    if claim.map_digest not in (_UNKNOWN_MAP, digest):
        before = firmware_map_before(firmware_map, claim.ledger)
        if before.digest() != claim.map_digest:
            message = (
                f"the record is of the machine with map {claim.map_digest.hex()}, this "
                f"one has {digest.hex()}"
            )
            yield refusal("record-other-machine", message)
            return
    wrong = _mismatched(firmware_map, claim.ledger)
    if digest != claim.map_digest:
        # In the kernel's copy of the firmware's map deposits are RESERVED already.
        for kind in KEPT_TYPES:
            wrong -= firmware_map.bytes_of(kind).pages_inside()
    if wrong:
        text = "{pages} are not what the record says that they were to the firmware"
        yield pool_finding("record-bad-extents", "degraded", wrong, text)


def firmware_map_before(memory_map: MemoryMap, ledger: DepositLedger) -> MemoryMap:
    """Return the map with the ledger's pages turned back to their firmware types.

    For a map that an earlier handoff carved, as /sys/firmware/memmap shows it
    after a kexec; of the firmware's own map the flattened form comes back.

    Raises:
        InputError: an entry reaches 2^64.
    """
    flat = memory_map.flatten()
    pages = ledger.extents.to_bytes()
    rows = [
        (start, end - start, kind)
        for kind in sorted(set(flat.entries["type"].tolist()))
        for start, end in flat.bytes_of(kind) - pages
    ]
    rows += [
        (d.start_pfn * PAGE_SIZE, d.nr_pages * PAGE_SIZE, d.firmware_type)
        for d in ledger
    ]
    before = MemoryMap.of(rows, origin=memory_map.origin)
    return replace(before, devices=memory_map.devices).flatten()


# The pages of a ledger that are not of their firmware type in the map.
def _mismatched(memory_map: MemoryMap, ledger: DepositLedger) -> ExtentSet:
    wrong = ExtentSet()
    for kind in sorted({d.firmware_type for d in ledger}):
        claimed = ExtentSet(
            (d.start_pfn, d.end_pfn) for d in ledger if d.firmware_type == kind
        )
        wrong = wrong | (claimed - memory_map.bytes_of(kind).pages_inside())
    return wrong


def _ledger_of(record: PoolRecord) -> DepositLedger:
    return DepositLedger(
        Deposit(
            start_pfn=extent.base_pfn,
            end_pfn=extent.end_pfn,
            owner=extent.owner,
            firmware_type=extent.firmware_type,
        )
        for extent in record.extents
    )


# Neither 0 (a deposit of which nobody said whose it is) nor 2^64 - 1
# (HV_PARTITION_ID_SELF, include/asm-generic/hyperv-tlfs.h, 6.1) can mean these: a
# page is free only where somebody wrote so.
FREE_OWNER = int.from_bytes(b"poolfree", "little")
"""Owner of pages that the pool holds and nobody uses: 0x6565_7266_6c6f_6f70."""

RECORD_OWNER = int.from_bytes(b"poolmeta", "little")
"""Owner of pages that hold the pool's own record: 0x6174_656d_6c6f_6f70."""

_OWNER_LIMIT = (1 << 64) - 1


def validate_owner(owner: int) -> None:
    """Raise InputError for an owner that is no u64, or one of the pool's own."""
    if not 0 <= owner <= _OWNER_LIMIT:
        raise InputError(f"owner {owner:#x}: the limits are 0 and {_OWNER_LIMIT:#x}")
    if owner in (FREE_OWNER, RECORD_OWNER):
        raise InputError(f"owner {owner:#x} is the pool's own: no page is given to it")
