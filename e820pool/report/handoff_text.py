"""A built handoff in words: its parts, their addresses, its entries."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.documents import CheckedRow, Count, Document, Pair, Part, document_text
from e820pool.extents import ExtentSet
from e820pool.findings import counted, one_line
from e820pool.handoff.budget import given_up_ram
from e820pool.handoff.hot_add import KEPT_TYPES
from e820pool.report.columns import columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.compat import Verdict
    from e820pool.deposits import DepositLedger
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap

__all__ = (
    "BuiltDocument",
    "DemoDocument",
    "PlacedPart",
    "demo_json",
    "handoff_json",
    "handoff_text",
    "parts_of",
    "parts_table",
)


def parts_of(handoff: Handoff) -> list[tuple[str, int, int]]:
    """Return what a loader places and keeps free: name, address, size in bytes."""
    parts = [(s.what, s.addr, len(s.data)) for s in handoff.segments()]
    for name, span in (
        ("kernel window", handoff.kernel_window),
        ("initrd", handoff.initrd),
    ):
        if span is not None:
            parts.append((name, span[0], span[1] - span[0]))
    return parts


def parts_table(handoff: Handoff) -> str:
    """Return each part with its address and size."""
    rows = [(name, f"{addr:#x}", size) for name, addr, size in parts_of(handoff)]
    return columns(rows, ("part", "address", "bytes"), right=(2,))


def handoff_text(handoff: Handoff, where: str) -> str:
    """Return what was built and where each part must be placed."""
    entries, in_page = len(handoff.table), handoff.boot_params.e820_entries
    spill = (
        f", {entries - in_page} of them in SETUP_E820_EXT" if entries > in_page else ""
    )
    where, deposits = one_line(where), counted(len(handoff.ledger), "deposit")
    return (
        f"{where}: {counted(entries, 'e820 entry')}{spill}; {deposits}, "
        f"{_reserved_pages(handoff)}\n{parts_table(handoff)}\n"
        f"next: e820pool check {shlex.quote(where)} --kernel all"
    )


# Not every encoding says RESERVED in the table, nor of every deposit.
def _reserved_pages(handoff: Handoff) -> str:
    table = handoff.table.resolved()
    deposited = handoff.ledger.extents
    reserved, acpi = (
        deposited & table.bytes_of(kind).pages_inside() for kind in KEPT_TYPES
    )
    if reserved == deposited:
        return f"{counted(deposited.nr_pages, 'page')} RESERVED"
    kept = f", {acpi.nr_pages} type 3" if acpi else ""
    pages = counted(deposited.nr_pages, "page")
    return f"{pages}, {reserved.nr_pages} of them RESERVED{kept}"


class PlacedPart(Part, frozen=True, kw_only=True):
    """What a loader places or keeps free, in bytes."""

    what: str
    addr: Count
    size: Count


class BuiltDocument(Document, frozen=True, kw_only=True, tag="built-handoff"):
    """What was built, and where; ``given_up`` is RAM, ``[start, size]`` in bytes."""

    directory: str
    nr_entries: Count
    nr_deposits: Count
    nr_deposited_pages: Count
    given_up: tuple[Pair, ...]
    parts: tuple[PlacedPart, ...]


def handoff_json(handoff: Handoff, where: str) -> str:
    """Return the JSON twin, kind ``built-handoff``."""
    return document_text(
        BuiltDocument(
            directory=where,
            nr_entries=len(handoff.table),
            nr_deposits=len(handoff.ledger),
            nr_deposited_pages=handoff.ledger.extents.nr_pages,
            given_up=tuple((at, end - at) for at, end in given_up_ram(handoff)),
            parts=tuple(
                PlacedPart(what=name, addr=addr, size=size)
                for name, addr, size in parts_of(handoff)
            ),
        )
    )


class DemoDocument(Document, frozen=True, kw_only=True, tag="demo"):
    """A map before and after, and the pool that comes back, null where refused."""

    before: tuple[CheckedRow, ...]
    after: tuple[CheckedRow, ...]
    deposits: ExtentSet
    verdicts: tuple[VerdictDocument, ...]
    extents: ExtentSet | None


def demo_json(
    memory_map: MemoryMap,
    handoff: Handoff,
    verdicts: Iterable[Verdict],
    pool: DepositLedger | None,
) -> str:
    """Return the whole way as JSON, kind ``demo``."""
    return document_text(
        DemoDocument(
            before=tuple(memory_map.rows()),
            after=tuple(handoff.table.rows()),
            deposits=handoff.ledger.extents,
            verdicts=tuple(VerdictDocument.of(verdict) for verdict in verdicts),
            extents=None if pool is None else pool.extents,
        )
    )
