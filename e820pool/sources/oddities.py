"""State what is odd in a map's entries, whatever they were read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.extents import PAGE_SIZE, ExtentSet
from e820pool.findings import Finding, counted
from e820pool.sweep import distinct
from e820pool.type_words import KNOWN_TYPES, TYPE_WITHOUT_NUMBER, type_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ("note", "oddities")

_LOW_MEMORY = 1 << 20


def note(id_: str, message: str, pages: ExtentSet | None = None) -> Finding:
    """Return a finding of level ``note``, about these pages if any."""
    extents = () if pages is None else tuple(pages)
    return Finding(id=id_, level="note", message=message, extents=extents)


def oddities(table: NDArray[Any]) -> tuple[Finding, ...]:
    """Return what is odd in the entries of a table (E820_DTYPE), as notes.

    The ids are listed in specs/sources.md.
    """
    return tuple(
        finding
        for check in (_few, _wrapped, _empty, _unaligned, _order, _overlap, _types)
        for finding in check(table)
    )


def _shown(table: NDArray[Any], at: int) -> str:
    addr, size, kind = table[at].tolist()
    last = (addr + size - 1) % (1 << 64)
    return f"entry {at} [mem {addr:#x}-{last:#x}], {type_text(kind)}"


def _few(table: NDArray[Any]) -> Iterator[Finding]:
    # Linux append_e820_table(), 2.6.32 to 6.19, takes a map of one entry for none.
    if table.size < 2:
        yield note(
            "few-entries",
            f"the map has {counted(table.size, 'entry')}; kernels up to 6.19 "
            "refuse a BIOS map "
            "with fewer than 2",
        )
    if not np.any(table["type"] == E820_TYPE_RAM):
        yield note("no-ram", "no entry is RAM")


def _wrapped(table: NDArray[Any]) -> Iterator[Finding]:
    wrapped = np.flatnonzero(table["addr"] + table["size"] < table["addr"])
    if wrapped.size:
        yield note(
            "reaches-2-64",
            f"{counted(wrapped.size, 'entry')} up to 2^64, which stops every "
            "kernel's overlap "
            f"sweep: first {_shown(table, int(wrapped[0]))}",
        )


def _empty(table: NDArray[Any]) -> Iterator[Finding]:
    empty = np.flatnonzero(table["size"] == 0)
    if empty.size:
        first = table["addr"][empty[0]].tolist()
        yield note(
            "empty-entry",
            f"{counted(empty.size, 'entry')} of size 0: first at {first:#x}",
        )


def _unaligned(table: NDArray[Any]) -> Iterator[Finding]:
    # RAM ends at 0x9fc00 on nearly every PC: of the first MiB there is nothing to say.
    low = table["addr"] + table["size"] <= np.uint64(_LOW_MEMORY)
    low &= table["addr"] < np.uint64(_LOW_MEMORY)
    odd = (table["addr"] | table["size"]) & np.uint64(PAGE_SIZE - 1) != 0
    odd &= ~low
    ram = table["type"] == E820_TYPE_RAM
    if odd.any():
        first = _shown(table, int(np.flatnonzero(odd)[0]))
        yield note(
            "unaligned",
            f"{int((odd & ram).sum())} RAM and {int((odd & ~ram).sum())} other entries "
            f"above 1 MiB are not whole pages: first {first}",
        )


def _order(table: NDArray[Any]) -> Iterator[Finding]:
    back = np.flatnonzero(table["addr"][1:] < table["addr"][:-1])
    if back.size:
        yield note(
            "out-of-order",
            f"{counted(back.size, 'entry')} below the one before: first "
            f"{_shown(table, int(back[0]) + 1)}",
        )


def _overlap(table: NDArray[Any]) -> Iterator[Finding]:
    order = np.argsort(table["addr"], kind="stable")
    ends = (table["addr"] + table["size"])[order]
    # An entry that reaches 2^64 ends above all.
    ends[ends < table["addr"][order]] = np.uint64((1 << 64) - 1)
    reach = np.maximum.accumulate(ends)
    clash = np.flatnonzero(
        (table["addr"][order][1:] < reach[:-1]) & (table["size"][order][1:] != 0)
    )
    if clash.size:
        after = int(clash[0]) + 1
        before = int(np.argmax(ends[:after]))
        yield note(
            "overlap",
            f"{counted(clash.size, 'entry')} over lower ones: first "
            f"{_shown(table, int(order[after]))} and "
            f"{_shown(table, int(order[before]))}",
        )


def _types(table: NDArray[Any]) -> Iterator[Finding]:
    kinds = {int(kind) for kind in distinct(table["type"]).tolist()}
    if TYPE_WITHOUT_NUMBER in kinds:
        count = int((table["type"] == TYPE_WITHOUT_NUMBER).sum())
        yield note(
            "type-without-number",
            f"{counted(count, 'entry')} of a type that the source does not give as "
            "a number; "
            f"{TYPE_WITHOUT_NUMBER:#x}, never RAM, stands for it",
        )
    unknown = sorted(kinds - KNOWN_TYPES - {TYPE_WITHOUT_NUMBER})
    if unknown:
        count = int(np.isin(table["type"], unknown).sum())
        names = ", ".join(map(hex, unknown[:8])) + ", ..." * (len(unknown) > 8)
        yield note(
            "unknown-type",
            f"{counted(count, 'entry')} of a type that no kernel knows ({names}); "
            "to every "
            "kernel that is memory it may not use",
        )
