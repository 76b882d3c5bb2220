"""A strategy for whole handoffs, as this package builds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.strategies.deposits import deposit_ledgers
from e820pool.strategies.maps import machines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.abi.bzimage import BzImage
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap

__all__ = ("handoffs",)


@st.composite
def handoffs(
    draw: st.DrawFn,
    *,
    memory_map: MemoryMap | None = None,
    encodings: Sequence[str] = ("split", "hybrid"),
    kernel: BzImage | None = None,
    max_deposits: int = 12,
) -> Handoff:
    """Make handoffs with any deposits; one of three spills into a SETUP_E820_EXT node.

    Args:
        draw: passed by Hypothesis.
        memory_map: the firmware's map, by default one of ``machines()``.
        encodings: names of ``e820pool.handoff.encodings.ENCODINGS``.
        kernel: an image, to have its header and a window for it.
        max_deposits: deposits at most, but for a comb of them.

    >>> from hypothesis import find
    >>> found = find(handoffs(), lambda handoff: len(handoff.ledger) == 1)
    >>> found.boot_params.e820_map.tolist()[:2]
    [(0, 651264, 1), (1048576, 4096, 2)]
    """
    where = draw(machines()) if memory_map is None else memory_map
    ledger = draw(deposit_ledgers(where, max_size=max_deposits))
    encoding = draw(st.sampled_from(tuple(encodings)))
    return build_handoff(where, ledger, BuildOptions(encoding=encoding, kernel=kernel))
