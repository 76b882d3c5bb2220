"""What an encoding is: a name and the table it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

    TableMaker = Callable[[MemoryMap, DepositLedger], NDArray[Any]]

__all__ = ("Encoding",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """Name one way to keep the next kernel off deposited pages.

    Attributes:
        name: what ``--encoding`` takes.
        meaning: one sentence for people.
        make_table: ``(firmware map, ledger)`` to the whole table, E820_DTYPE, in
            the order in which it is written.
        bare_from: from this address on deposits may have no entry at all; None
            where every deposit is RESERVED.
    """

    name: str
    meaning: str
    make_table: TableMaker
    bare_from: int | None = None
