"""Look for tables within capacity that a kernel does not survive; make them small."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from e820pool.deposits import DepositLedger
from e820pool.extents import PAGE_SHIFT
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.memory_map import MemoryMap
from e820pool.range_lists import StartEnd
from e820pool.stress.limit_handoffs import SMALL_PC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e820pool.handoff.model import Handoff
    from e820pool.stress.draws import Draws


__all__ = ("Extents", "Shape", "draw_shape", "extents_of", "handoff_of", "minimise")

Extents = tuple[StartEnd, ...]
"""Deposited PFN ranges, in order and apart."""

# Of the small PC, half a GiB below 4 GiB and as much above.
_LOW = (256, 1 << 17)
_HIGH = (1 << 20, (1 << 20) + (1 << 17))
# Below 64 MiB a kernel is loaded; what is deposited there has nothing to do with it.
_KERNEL_END = 1 << 14
_MOST = 600


class Shape(NamedTuple):
    """Where deposits lie.

    Attributes:
        first_pfn: of the lowest one.
        nr_deposits: how many.
        nr_pages: of each.
        gap: pages between two.
    """

    first_pfn: int
    nr_deposits: int
    nr_pages: int
    gap: int


def draw_shape(draws: Draws) -> Shape:
    """Return a shape within the capacity of every kernel since 5.10.

    Counts, sizes and gaps are powers of two as often as not; places are at the bottom,
    in the middle and at the very top of RAM, below and above 4 GiB.
    """
    start, end = (_LOW, _HIGH)[draws.below(2)]
    start = max(start, _KERNEL_END)
    count = 1 + draws.below(_near_power(draws, _MOST))
    nr_pages, gap = (_near_power(draws, 64) for _ in range(2))
    count = min(count, max((end - start) // (nr_pages + gap), 1))
    room = end - start - count * (nr_pages + gap) + gap
    first = start + (0, draws.below(room + 1), room)[draws.below(3)]
    return Shape(first, count, nr_pages, gap)


def extents_of(shape: Shape) -> Extents:
    """Return the deposits of a shape, half-open in PFNs."""
    step = shape.nr_pages + shape.gap
    starts = (shape.first_pfn + at * step for at in range(shape.nr_deposits))
    return tuple((start, start + shape.nr_pages) for start in starts)


def handoff_of(extents: Extents) -> Handoff:
    """Return the handoff of these deposits on a PC that the lab can build."""
    ledger = DepositLedger.of_ranges(
        (start << PAGE_SHIFT, end << PAGE_SHIFT) for start, end in extents
    )
    memory_map = MemoryMap.of(SMALL_PC, origin="made for a search")
    return build_handoff(memory_map, ledger, BuildOptions())


def minimise(
    extents: Extents, survives: Callable[[Extents], bool], most_tries: int = 60
) -> Extents:
    """Return a smaller set of deposits that a kernel does not survive either.

    Delta debugging: halves and then smaller parts are left out as long as what is
    left still fails; at the end no single part can be left out, or the tries are over.

    Args:
        extents: which it does not survive.
        survives: asks the kernel, at a cost.
        most_tries: that it may be asked.
    """
    parts, tries = 2, 0
    while len(extents) > 1:
        for left in _without_one_part(extents, parts):
            if tries >= most_tries:
                return extents
            tries += 1
            if not survives(left):
                extents, parts = left, max(parts - 1, 2)
                break
        else:
            if parts >= len(extents):
                return extents
            parts = min(2 * parts, len(extents))
    return extents


def _without_one_part(extents: Extents, parts: int) -> Sequence[Extents]:
    size = -(-len(extents) // parts)
    starts = range(0, len(extents), size)
    return [extents[:at] + extents[at + size :] for at in starts]


def _near_power(draws: Draws, most: int) -> int:
    power = 1 << draws.below(most.bit_length())
    off = draws.below(3) - 1 if draws.below(2) else 0
    return min(max(power + off, 1), most)
