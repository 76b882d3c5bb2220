"""Fit a table into a number of entries, giving up the fewest bytes of RAM.

    table    [RES)[ RAM a )[RES)[- RAM b -)[ACPI)   [RAM c)   5 entries and 1
    a given up     RESERVED joins both sides         2 entries fewer
    b given up     RESERVED joins one side           1 entry fewer
    c given up     above 4 GiB it is left out        1 entry fewer

A run of RAM that is given up in part still needs its entry, and a run's saving
does not depend on what else is given up: its neighbours are never RAM, and stay.
So this is a choice among items of weight 1 and 2, which sorting solves exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from e820pool.abi.e820 import E820_DTYPE, E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.errors import CapacityError, InputError
from e820pool.extents import ByteRangeSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.handoff.model import Handoff

    I64 = NDArray[np.int64]
    U64 = NDArray[np.uint64]
    Mask = NDArray[np.bool_]

__all__ = (
    "BARE_LIMIT",
    "KEPT_BELOW",
    "BudgetCurve",
    "FittedTable",
    "budget_curve",
    "fit_table",
    "given_up_ram",
)

KEPT_BELOW = 1 << 20
"""RAM below 1 MiB is never given up: the real-mode trampoline lies there, and
memblock's arrays grow from it (arch/x86/realmode/init.c reserve_real_mode(),
arch/x86/kernel/setup.c, mm/memblock.c memblock_double_array())."""

BARE_LIMIT = 1 << 32
"""Only from here on may RAM be left without an entry: below, a kernel looks for room
for PCI devices in what no entry names (arch/x86/kernel/e820.c e820_search_gap())."""
# No sum of disjoint sizes reaches it.
_NEVER = np.uint64((1 << 64) - 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedTable:
    """A table within its budget, and what that cost.

    Attributes:
        entries: E820_DTYPE, sorted, disjoint.
        given_up: bytes that were RAM and no longer are; none of them is deposited.
    """

    entries: NDArray[Any]
    given_up: ByteRangeSet


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BudgetCurve:
    """Every choice between entries and bytes that no other choice beats.

    Attributes:
        nr_entries: descending; the first is the whole table's, the last the least
            that any choice reaches.
        given_up_bytes: the fewest bytes to give up for that; strictly ascending.
    """

    nr_entries: I64
    given_up_bytes: U64

    def bytes_for(self, max_entries: int) -> int | None:
        """Return the bytes that a budget costs, None where nothing fits it."""
        at = int(np.searchsorted(-self.nr_entries, -max_entries, side="left"))
        if at == self.nr_entries.size:
            return None
        return int(self.given_up_bytes[at])


def fit_table(
    table: NDArray[Any], max_entries: int, keep: ByteRangeSet | None = None
) -> FittedTable:
    """Return the table with at most ``max_entries``, the fewest bytes given up.

    Only whole runs of RAM change: to RESERVED where they touch RESERVED, so that
    the entries join; out of the table where they touch none and lie above
    :data:`BARE_LIMIT`. Of runs of one size the higher goes first.

    Args:
        table: E820_DTYPE, sorted and disjoint, touching entries of one type joined.
        max_entries: the budget.
        keep: bytes of which the runs of RAM must stay.

    Raises:
        InputError: the table is not sorted, disjoint and joined.
        CapacityError: no choice fits.
    """
    runs = _runs(table, keep)
    excess = table.size - max_entries
    chosen = _cheapest(runs, max(excess, 0))
    if chosen is None:
        least = table.size - int(runs.saving.sum(dtype=np.int64))
        raise CapacityError(
            f"{table.size} entries do not fit: the limit is {max_entries}, and giving "
            f"up all RAM that may be given up leaves {least}"
        )
    addr, end = runs.addr[chosen], runs.end[chosen]
    return FittedTable(
        entries=_without(table, runs, chosen),
        given_up=ByteRangeSet.from_bounds(addr, end),
    )


def budget_curve(table: NDArray[Any]) -> BudgetCurve:
    """Return the whole curve of entries against bytes; O(n log n).

    Raises:
        InputError: see :func:`fit_table`.
    """
    runs = _runs(table, None)
    sizes = runs.end - runs.addr
    ones, twos = (np.sort(sizes[runs.saving == weight]) for weight in (1, 2))
    exact = np.full(ones.size + 2 * twos.size + 1, _NEVER, np.uint64)
    # What saves exactly so many: for an even number pairs of ones beside twos, for
    # an odd number the smallest one first.
    even = _prefix_sums(np.sort(np.concatenate((_pair_sums(ones), twos))))
    exact[: 2 * even.size : 2] = even
    if ones.size:
        odd = np.sort(np.concatenate((_pair_sums(ones[1:]), twos)))
        odd = ones[0] + _prefix_sums(odd)
        exact[1 : 2 * odd.size : 2] = odd
    # To save more than is needed may be cheaper.
    least = np.minimum.accumulate(exact[::-1])[::-1]
    saved = np.flatnonzero(np.append(least[:-1] < least[1:], True))
    return BudgetCurve(nr_entries=table.size - saved, given_up_bytes=least[saved])


def given_up_ram(handoff: Handoff) -> ByteRangeSet:
    """Return what is RAM to the firmware and neither RAM in the table nor deposited.

    Nothing where the firmware's map is not known. A handoff need not say this: its
    table and the firmware's map do.

    Raises:
        InputError: an entry of the firmware's map reaches 2^64.
    """
    if handoff.firmware_map is None:
        return ByteRangeSet()
    ram = handoff.table.bytes_of(E820_TYPE_RAM)
    firmware_ram = handoff.firmware_map.bytes_of(E820_TYPE_RAM)
    return firmware_ram - ram - handoff.ledger.extents.to_bytes()


class _Runs(NamedTuple):
    # The runs of RAM that may be given up, ascending.
    row: I64  # of the table
    addr: U64
    end: U64
    saving: NDArray[np.int8]  # entries saved: 1 or 2
    bare: Mask  # touches no RESERVED: is left out


def _runs(table: NDArray[Any], keep: ByteRangeSet | None) -> _Runs:
    addr, kind = table["addr"].copy(), table["type"].copy()
    end = addr + table["size"]
    touch = _validated_touch(addr, end, kind)
    reserved = kind == E820_TYPE_RESERVED
    saving = np.zeros(table.size, np.int8)
    saving[1:] += touch & reserved[:-1]
    saving[:-1] += touch & reserved[1:]
    bare = (saving == 0) & (addr >= np.uint64(BARE_LIMIT))
    may = (kind == E820_TYPE_RAM) & (addr >= np.uint64(KEPT_BELOW))
    may &= bare | (saving > 0)
    row = np.flatnonzero(may)
    if keep:
        # Without those that reach into what is kept.
        first = np.searchsorted(keep.ends, addr[row], side="right")
        starts: U64 = np.append(keep.starts, _NEVER)
        row = row[starts[first] >= end[row]]
    return _Runs(
        row=row,
        addr=addr[row],
        end=end[row],
        saving=saving[row] + bare[row],
        bare=bare[row],
    )


def _validated_touch(addr: U64, end: U64, kind: NDArray[np.uint32]) -> Mask:
    touch: Mask = addr[1:] == end[:-1]
    bad = end <= addr
    bad[1:] |= (addr[1:] < end[:-1]) | (touch & (kind[1:] == kind[:-1]))
    for at in np.flatnonzero(bad)[:1].tolist():
        raise InputError(
            f"entry {at} at {int(addr[at]):#x} is empty, or overlaps or continues the "
            "one before: only a table without overlaps fits into a budget"
        )
    return touch


def _cheapest(runs: _Runs, excess: int) -> I64 | None:
    # j of weight 2 and as many of weight 1 as are still needed: try every j.
    sizes = runs.end - runs.addr
    first, second = (runs.saving == weight for weight in (1, 2))
    ones, twos = sizes[first], sizes[second]
    low = max(-(-(excess - ones.size) // 2), 0)
    if low > twos.size:
        return None
    high = min(twos.size, -(-excess // 2))
    nr_ones = np.maximum(excess - 2 * np.arange(low, high + 1), 0)
    least, most = int(nr_ones[-1]), int(nr_ones[0])
    cost = _sums_of_smallest(twos, low, high)
    cost += _sums_of_smallest(ones, least, most)[nr_ones - least]
    best = int(np.argmin(cost))
    chosen = _smallest(sizes, first, ones, int(nr_ones[best]))
    chosen |= _smallest(sizes, second, twos, low + best)
    return np.flatnonzero(chosen)


def _sums_of_smallest(sizes: U64, low: int, high: int) -> U64:
    # For each count from low to high what that many smallest ones sum up to. Only
    # those between need an order: mostly a few, as runs of weight 1 are few.
    edges = [at for at in (low, high) if at < sizes.size]
    parted = np.partition(sizes, edges) if edges else sizes
    sums = np.empty(high - low + 1, np.uint64)
    sums[0] = parted[:low].sum(dtype=np.uint64)
    np.cumsum(np.sort(parted[low:high]), out=sums[1:])
    sums[1:] += sums[0]
    return sums


def _smallest(sizes: U64, among: Mask, ranked: U64, count: int) -> Mask:
    # The count smallest; of equal ones at the edge the higher, as RAM below 4 GiB
    # is worth more. ranked holds the sizes among which.
    if count == 0:
        return np.zeros(sizes.size, np.bool_)
    edge = np.partition(ranked, count - 1)[count - 1]
    chosen: Mask = among & (sizes <= edge)
    over = int(np.count_nonzero(chosen)) - count
    if over:
        chosen[np.flatnonzero(chosen & (sizes == edge))[:over]] = False
    return chosen


def _without(table: NDArray[Any], runs: _Runs, chosen: I64) -> NDArray[Any]:
    kind = table["type"].copy()
    kind[runs.row[chosen]] = E820_TYPE_RESERVED
    listed = np.ones(table.size, np.bool_)
    listed[runs.row[chosen[runs.bare[chosen]]]] = False
    addr, kind = table["addr"][listed], kind[listed]
    end = addr + table["size"][listed]
    joins = (addr[1:] == end[:-1]) & (kind[1:] == E820_TYPE_RESERVED)
    joins &= kind[:-1] == E820_TYPE_RESERVED
    opens = np.concatenate(([True], ~joins))[: addr.size]
    closes = np.concatenate((~joins, [True]))[: addr.size]
    fitted = np.empty(int(opens.sum()), E820_DTYPE)
    fitted["addr"], fitted["type"] = addr[opens], kind[opens]
    fitted["size"] = end[closes] - addr[opens]
    return fitted


def _pair_sums(ascending: U64) -> U64:
    whole = ascending[: ascending.size // 2 * 2]
    return whole[0::2] + whole[1::2]


def _prefix_sums(sizes: U64) -> U64:
    sums = np.zeros(sizes.size + 1, np.uint64)
    np.cumsum(sizes, out=sums[1:])
    return sums
