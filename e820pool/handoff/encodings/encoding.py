"""What an encoding is: a name, the table it makes, and what it puts beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from e820pool.abi.e820 import E820_TYPE_RESERVED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from e820pool.abi.setup_data import SetupDataNode
    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

    TableMaker = Callable[[MemoryMap, DepositLedger], NDArray[Any]]
    NodeMaker = Callable[
        [MemoryMap, DepositLedger, Callable[[int], int]], list[SetupDataNode]
    ]
    WordMaker = Callable[[DepositLedger], str]

__all__ = ("Encoding",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One way to keep the next kernel off deposited pages.

    `validate_handoff()` holds an encoding to what it declares. One that is not monotone
    is still built, so that `compare` can show it and `check` can warn of it.

    Attributes:
        name: what ``--encoding`` takes.
        meaning: one sentence for people.
        make_table: ``(firmware map, ledger)`` to the whole table, E820_DTYPE, in
            the order in which it is written.
        bare_from: from this address on deposits may have no entry at all; None
            where every deposit has one.
        deposit_type: the type of the deposits' entries; None where they have none
            of their own.
        monotone: whether no subset of the entries makes a deposited page RAM.
        make_ext: entries that go into SETUP_E820_EXT however much room the zero
            page has; None where there are none such.
        make_nodes: ``(firmware map, ledger, addr_of)`` to the setup_data nodes with
            which the chain begins; ``addr_of(n)`` is where node n will lie, on which
            no length may depend.
        make_words: what the command line has to say.
        carries_record: whether our pool record goes with it; a design that has its
            own way to tell the next kernel does without.
        has_efi_map: whether the first node is an EFI system table and memory map, to
            which the zero page points.
        holds_blocks: whether entries that hold a whole memory block become busy
            (:mod:`e820pool.handoff.hot_add`).
    """

    name: str
    meaning: str
    make_table: TableMaker
    bare_from: int | None = None
    deposit_type: int | None = E820_TYPE_RESERVED
    monotone: bool = True
    make_ext: TableMaker | None = None
    make_nodes: NodeMaker | None = None
    make_words: WordMaker | None = None
    carries_record: bool = True
    has_efi_map: bool = False
    holds_blocks: bool = False
