"""Which pages are deposited to the hypervisor, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.errors import InputError
from e820pool.extents import MAX_PFN, PAGE_SHIFT, PAGE_SIZE, ExtentSet, Span
from e820pool.findings import counted
from e820pool.range_text import parse_range, parse_size
from e820pool.type_words import type_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from e820pool.memory_map import MemoryMap
    from e820pool.range_lists import StartEnd

__all__ = ("Deposit", "DepositLedger", "parse_range", "parse_size")

_U64_MAX = (1 << 64) - 1
_U32_MAX = (1 << 32) - 1
_DTYPE = np.dtype(
    [("start", "<u8"), ("end", "<u8"), ("owner", "<u8"), ("firmware_type", "<u4")]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """One deposited extent, half-open in PFNs.

    Attributes:
        owner: who deposited it, for example a partition id; u64.
        firmware_type: the e820 type of the range in the firmware's own map, to
            which it returns when it is withdrawn.
    """

    start_pfn: int
    end_pfn: int
    owner: int = 0
    firmware_type: int = E820_TYPE_RAM

    def __post_init__(self) -> None:
        if not 0 <= self.start_pfn < self.end_pfn <= MAX_PFN:
            raise InputError(
                f"deposit of PFNs [{self.start_pfn:#x}, {self.end_pfn:#x}) is empty "
                f"or beyond the limit {MAX_PFN:#x}"
            )
        if not 0 <= self.owner <= _U64_MAX:
            raise InputError(f"owner {self.owner:#x}: the limit is {_U64_MAX:#x}")
        if not 0 <= self.firmware_type <= _U32_MAX:
            raise InputError(
                f"firmware type {self.firmware_type:#x}: the limit is {_U32_MAX:#x}"
            )

    @classmethod
    def from_bytes(cls, start: int, end: int, owner: int = 0) -> Self:
        """Return the deposit of a byte range; InputError unless whole pages."""
        if start % PAGE_SIZE or end % PAGE_SIZE:
            raise InputError(
                f"deposit {Span(start, end)} is not whole pages: start and size must "
                f"be multiples of {PAGE_SIZE:#x}"
            )
        return cls(
            start_pfn=start >> PAGE_SHIFT, end_pfn=end >> PAGE_SHIFT, owner=owner
        )

    @property
    def nr_pages(self) -> int:
        """Return the number of 4 KiB pages."""
        return self.end_pfn - self.start_pfn

    def __str__(self) -> str:
        start, end = self.start_pfn << PAGE_SHIFT, (self.end_pfn << PAGE_SHIFT) - 1
        return f"[mem {start:#x}-{end:#x}] of owner {self.owner:#x}"


class DepositLedger:
    """The deposits we believe in; immutable, sorted, never overlapping.

    Touching deposits of one owner and type are one deposit.

    Example:
        >>> from e820pool import DepositLedger, ExtentSet
        >>> ledger = DepositLedger.of_ranges(["1G+2M"], owner=7)
        >>> ledger
        DepositLedger(1 deposit, 512 pages)
        >>> print(*ledger.withdraw(ExtentSet([(0x40000, 0x40100)])))
        [mem 0x40100000-0x401fffff] of owner 0x7
    """

    __slots__ = ("_extents", "_table")

    def __init__(self, deposits: Iterable[Deposit] = ()) -> None:
        rows = [(d.start_pfn, d.end_pfn, d.owner, d.firmware_type) for d in deposits]
        self._table = _normalise(np.array(rows, _DTYPE))
        self._extents = _extents_of(self._table)

    @classmethod
    def of_rows(cls, rows: NDArray[Any]) -> Self:
        """Return the ledger of rows in any order, with the fields of :attr:`rows`.

        Raises:
            InputError: two of them overlap.
        """
        ledger = cls.__new__(cls)
        ledger._table = _normalise(rows)  # noqa: SLF001  own class
        ledger._extents = _extents_of(ledger._table)  # noqa: SLF001  own class
        return ledger

    @classmethod
    def of_ranges(cls, ranges: Iterable[StartEnd | str], owner: int = 0) -> Self:
        """Return the ledger of byte ranges.

        Args:
            ranges: ``(start, end)``, half-open, or text as :func:`parse_range` takes.
            owner: who deposited them all.

        Raises:
            InputError: a range is not whole pages, overlaps another, or is none.
        """
        spans = (parse_range(r) if isinstance(r, str) else r for r in ranges)
        return cls(Deposit.from_bytes(start, end, owner) for start, end in spans)

    @property
    def extents(self) -> ExtentSet:
        """Return all deposited pages."""
        return self._extents

    @property
    def rows(self) -> NDArray[Any]:
        """Return the deposits as a read-only array, sorted, for bulk work.

        Fields ``start``, ``end`` (PFNs, exclusive), ``owner`` (all uint64) and
        ``firmware_type`` (uint32).
        """
        view = self._table.view()
        view.flags.writeable = False
        return view

    def __iter__(self) -> Iterator[Deposit]:
        for start, end, owner, kind in self._table.tolist():
            yield Deposit(start_pfn=start, end_pfn=end, owner=owner, firmware_type=kind)

    def __len__(self) -> int:
        return int(self._table.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DepositLedger):
            return NotImplemented
        return bool(np.array_equal(self._table, other._table))

    def __hash__(self) -> int:
        return hash(self._table.tobytes())

    def __repr__(self) -> str:
        return (
            f"DepositLedger({counted(len(self), 'deposit')}, "
            f"{counted(self.extents.nr_pages, 'page')})"
        )

    def deposit(self, deposits: Iterable[Deposit]) -> Self:
        """Return the ledger with more deposits; InputError if any page is there."""
        more = type(self)(deposits)
        table = np.concatenate((self._table, more._table))  # noqa: SLF001  own class
        return self.of_rows(table)

    def withdraw(self, extents: ExtentSet) -> Self:
        """Return the ledger without these pages.

        Raises:
            InputError: a page is not deposited.
        """
        for start, end in extents - self.extents:
            raise InputError(
                f"PFNs [{start:#x}, {end:#x}) are not deposited: nothing to withdraw"
            )
        table, starts, ends = self._table, extents.starts, extents.ends
        # Cut at every edge: each piece is of one deposit, and stays whole or goes.
        edges = np.unique(np.concatenate((table["start"], table["end"], starts, ends)))
        at, after = edges[:-1], edges[1:]
        of = np.searchsorted(table["start"], at, side="right") - 1
        kept = (of >= 0) & (at < table["end"][of])
        kept &= np.searchsorted(starts, at, "right") == np.searchsorted(
            ends, at, "right"
        )
        rows = table[of[kept]]
        rows["start"], rows["end"] = at[kept], after[kept]
        return self.of_rows(rows)

    def validate_inside(self, memory_map: MemoryMap) -> None:
        """Raise InputError for a deposit that is not wholly RAM in the map.

        What a kernel took out of its RAM later is none either.
        """
        for start, end in self.extents - memory_map.ram_pages():
            self._refuse(start, end, memory_map)
        for start, end in self.extents & memory_map.reserved_later():
            whole = self._around(start, end)
            raise InputError(
                f"deposit {whole} is not inside RAM: a kernel reserved "
                f"{Span(start << PAGE_SHIFT, end << PAGE_SHIFT)} after it had "
                "printed this map (reserved-later)",
                ident="deposit-reserved-later",
                about=str(whole),
            )

    def _around(self, start_pfn: int, end_pfn: int) -> Deposit:
        return next(
            d for d in self if d.start_pfn <= start_pfn and end_pfn <= d.end_pfn
        )

    def _refuse(self, start_pfn: int, end_pfn: int, memory_map: MemoryMap) -> None:
        # The whole deposit beside the map's own range: both ends of the dispute.
        whole = self._around(start_pfn, end_pfn)
        start, end = start_pfn << PAGE_SHIFT, end_pfn << PAGE_SHIFT
        for addr, size, kind in memory_map.flatten().rows():
            if addr < end and addr + size > start and kind != E820_TYPE_RAM:
                conflict = f"{Span.at(addr, size)} is {type_text(kind)}"
                break
        else:
            conflict = f"{Span(start, end)} is not whole pages of RAM"
        raise InputError(
            f"deposit {whole} is not inside RAM: {conflict} in the map"
            f"{_nearest(whole, memory_map)}",
            ident="deposit-outside-ram",
            about=str(whole),
        )


# The largest part of a deposit that could be one.
def _nearest(whole: Deposit, memory_map: MemoryMap) -> str:
    pages = ExtentSet([(whole.start_pfn, whole.end_pfn)]) & memory_map.ram_pages()
    if not pages:
        return ""
    start, end = max(pages, key=lambda span: span[1] - span[0])
    shown = f"{start << PAGE_SHIFT:#x}-{(end << PAGE_SHIFT) - 1:#x}"
    return f"; the nearest that is: {shown}"


def _extents_of(table: NDArray[Any]) -> ExtentSet:
    return ExtentSet.from_bounds(table["start"], table["end"])


def _normalise(table: NDArray[Any]) -> NDArray[Any]:
    # Sorted, checked for overlap, equal neighbours joined.
    table = table[np.argsort(table["start"], kind="stable")]
    clash = np.flatnonzero(table["start"][1:] < table["end"][:-1])
    for at in clash[:1].tolist():
        first, second = (_deposit_of(table[at + i]) for i in (0, 1))
        raise InputError(f"deposits overlap: {first} and {second}")
    joins = table["start"][1:] == table["end"][:-1]
    for name in ("owner", "firmware_type"):
        joins &= table[name][1:] == table[name][:-1]
    opens = np.concatenate(([True], ~joins))[: table.size]
    closes = np.concatenate((~joins, [True]))[: table.size]
    joined = table[opens].copy()
    joined["end"] = table["end"][closes]
    return joined


def _deposit_of(row: Any) -> Deposit:
    start, end, owner, kind = row.tolist()
    return Deposit(start_pfn=start, end_pfn=end, owner=owner, firmware_type=kind)
