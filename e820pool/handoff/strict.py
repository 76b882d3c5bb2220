"""The strict writer: what no handoff of ours may contain."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet, Span
from e820pool.handoff.encodings import Encoding, encoding_named
from e820pool.handoff.hot_add import held_bytes, pages_at_risk
from e820pool.handoff.model import COMMAND_LINE_SIZE, Handoff
from e820pool.handoff.placement import LOW_LIMIT
from e820pool.type_words import type_text

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from e820pool.table import E820Table

__all__ = ("validate_handoff",)


def validate_handoff(handoff: Handoff) -> None:
    """Raise InputError for anything that a supported kernel would misread.

    Checked: entries sorted, disjoint, not empty; every deposit of the type that the
    encoding gives it (or without an entry, where it says so) and under no RAM entry
    (monotone safety), in no whole memory block without a busy byte; sentinel and
    fallback sizes zero; the chain's pointers; all parts in RAM from 1 MiB on, outside
    deposits, apart from each other. The entries of an encoding that intends no
    monotone safety are left as they are.
    """
    encoding, table = encoding_named(handoff.encoding), handoff.table
    if encoding.monotone:
        _validate_order(table.entries)
        _validate_deposits(handoff, encoding, table)
    _validate_zero_page(handoff)
    _validate_chain(handoff)
    _validate_parts(handoff, table)


def _validate_order(table: NDArray[Any]) -> None:
    ends = table["addr"] + table["size"]
    bad = np.flatnonzero((ends <= table["addr"]) | (table["type"] == 0))
    for at in bad[:1].tolist():
        row = tuple(f"{n:#x}" for n in table[at].tolist())
        raise InputError(f"entry {at} {row} is empty, untyped or ends at 2^64")
    clash = np.flatnonzero(table["addr"][1:] < ends[:-1])
    for at in clash[:1].tolist():
        raise InputError(
            f"entry {at + 1} at {int(table['addr'][at + 1]):#x} begins before "
            f"entry {at} ends at {int(ends[at]):#x}"
        )


def _validate_deposits(handoff: Handoff, encoding: Encoding, table: E820Table) -> None:
    deposits = handoff.ledger.extents.to_bytes()
    bare_from = 0 if encoding.deposit_type is None else encoding.bare_from
    types = () if encoding.deposit_type is None else (encoding.deposit_type,)
    kept = table.bytes_of(*types)
    if encoding.holds_blocks:
        kept |= held_bytes(table, handoff.ledger.extents)
        for start, end in pages_at_risk(table, handoff.ledger.extents).to_bytes():
            raise InputError(
                f"deposited bytes {Span(start, end)} hold whole memory blocks "
                "without a busy entry: a kernel may add them to its memory"
            )
    if bare_from is not None:
        kept |= ByteRangeSet([(bare_from, ByteRangeSet.LIMIT)]) - table.covered
    want = "without an entry"
    if encoding.deposit_type is not None:
        is_reserved = encoding.deposit_type == E820_TYPE_RESERVED
        want = "RESERVED" if is_reserved else type_text(encoding.deposit_type)
    for start, end in deposits - kept:
        raise InputError(f"deposited bytes {Span(start, end)} are not {want}")
    for start, end in deposits & table.bytes_of(E820_TYPE_RAM):
        raise InputError(f"a RAM entry covers deposited bytes {Span(start, end)}")


def _validate_zero_page(handoff: Handoff) -> None:
    page = handoff.boot_params
    for name, value in (
        ("sentinel", page.sentinel),
        ("alt_mem_k", page.alt_mem_k),
        ("screen_info.ext_mem_k", page.ext_mem_k),
    ):
        if value:
            raise InputError(f"{name} is {value:#x}: the limit is 0")


def _validate_chain(handoff: Handoff) -> None:
    pointer = handoff.boot_params.hdr.setup_data
    for addr, following in (*((n.addr, n.node.next) for n in handoff.nodes), (0, 0)):
        if pointer != addr:
            raise InputError(
                f"chain points to {pointer:#x}, the node lies at {addr:#x}"
            )
        pointer = following


def _validate_parts(handoff: Handoff, table: E820Table) -> None:
    # The kernel copies so much of a command line, however long it is.
    spans = [
        (s.what, s.addr, s.addr + COMMAND_LINE_SIZE if s.what == "cmdline" else s.end)
        for s in handoff.segments()
    ]
    if handoff.kernel_window:
        spans.append(("kernel window", *handoff.kernel_window))
    if handoff.initrd:
        spans.append(("initrd", *handoff.initrd))
    ram = table.bytes_of(E820_TYPE_RAM)
    ram -= handoff.ledger.extents.to_bytes()
    for name, start, end in spans:
        if not ram.contains(start, end):
            raise InputError(f"{name} at {Span(start, end)} is not in RAM")
        if start < LOW_LIMIT:
            raise InputError(f"{name} at {start:#x} lies below {LOW_LIMIT:#x}")
    ordered = sorted(spans, key=lambda span: span[1])
    for (lower, _, end), (upper, start, _) in pairwise(ordered):
        if start < end:
            raise InputError(f"{lower} ends at {end:#x}, over {upper} at {start:#x}")
