"""The hole below 4 GiB that a kernel gives to PCI devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RESERVED
from e820pool.compat.about import finding_about
from e820pool.extents import PAGE_SHIFT, ByteRangeSet
from e820pool.findings import Finding
from e820pool.sweep import sweep_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e820pool.compat.situation import Situation
    from e820pool.kernel.view import Row

__all__ = ("findings_of_pci_gap", "pci_gap")

_SOURCE = "5.10 to 7.3 arch/x86/kernel/e820.c e820_search_gap(), e820__setup_pci_gap()"
_MAX_GAP_END = 1 << 32
_BELOW_4_GIB = ByteRangeSet([(0, _MAX_GAP_END)])
_LEAST_GAP = 4 << 20
_U64_MASK = (1 << 64) - 1

Span = tuple[int, int]


def findings_of_pci_gap(case: Situation) -> Iterator[Finding]:
    """Yield deposits in the gap, and a gap that lost entries moved."""
    view = case.view
    if not case.deposits or not view.table or view.fatal is not None:
        return
    upwards = case.has("pci-gap-searched-upwards")
    gap = pci_gap(view.table, upwards=upwards)
    if gap and case.deposits.overlaps(gap[0] >> PAGE_SHIFT, -(-gap[1] >> PAGE_SHIFT)):
        hit = case.deposits & ByteRangeSet([gap]).pages_touched()
        text = (
            f"[{gap[0]:#x}, {gap[1]:#x}) becomes the gap for PCI devices, which can be "
            "given addresses in it, over {pages}"
        )
        yield finding_about("pci-gap-moved", "unsafe", hit, text, _SOURCE)
    elif view.dropped or view.user_map is not None:
        yield from _moved(case, gap, upwards=upwards)


def _moved(case: Situation, gap: Span | None, *, upwards: bool) -> Iterator[Finding]:
    if case.given is None:
        return
    told, deposits = case.told, case.deposits.to_bytes() & _BELOW_4_GIB
    if bool(np.any(told["addr"] + told["size"] < told["addr"])):
        return
    reserved = np.full(len(deposits), E820_TYPE_RESERVED, np.uint32)
    columns = sweep_arrays(
        np.concatenate((told["addr"], deposits.starts)),
        np.concatenate((told["size"], deposits.ends - deposits.starts)),
        np.concatenate((told["type"], reserved)),
    )
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    whole = pci_gap(rows, upwards=upwards)
    if whole != gap:
        message = (
            f"the gap for PCI devices is {_shown(gap)} and not {_shown(whole)} as in "
            "the whole table"
        )
        yield Finding(id="pci-gap-moved", level="note", message=message, source=_SOURCE)


def _shown(gap: Span | None) -> str:
    return "none" if gap is None else f"[{gap[0]:#x}, {gap[1]:#x})"


def pci_gap(rows: Sequence[Row], *, upwards: bool) -> Span | None:
    """Return the largest hole below 4 GiB, of 4 MiB at least, in bytes.

    Args:
        rows: the kernel's table, in its order.
        upwards: as from 7.0 on: the hole below the first entry counts, and of
            equal ones the highest is taken; before, the lowest.
    """
    return _upwards(rows) if upwards else _downwards(rows)


def _downwards(rows: Sequence[Row]) -> Span | None:
    last, best, length = _MAX_GAP_END, None, _LEAST_GAP
    for addr, size, _ in reversed(rows):
        end = (addr + size) & _U64_MASK
        if last > end and last - end >= length:
            best, length = (end, last), last - end
        last = min(last, addr)
    return best


def _upwards(rows: Sequence[Row]) -> Span | None:
    reach, best, length = 0, None, _LEAST_GAP
    for addr, size, _ in (*rows, (_MAX_GAP_END, 0, 0)):
        start, end = reach, min(addr, _MAX_GAP_END)
        if addr > reach and start < _MAX_GAP_END and end - start >= length:
            best, length = (start, end), end - start
        reach = (addr + size) & _U64_MASK
    return best
