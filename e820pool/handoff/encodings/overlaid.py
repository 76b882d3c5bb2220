"""The firmware's RAM left whole, RESERVED laid over it.

    table      [----------------- RAM -----------------)
                    [RES)            [RES)

A kernel's sanitiser gives each byte its highest type, so that its own table has the
gaps. The decompressor has no sanitiser and chooses a place for the kernel first
(arch/x86/boot/compressed/kaslr.c process_e820_entries()).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RESERVED
from e820pool.handoff.encodings.carve import rows_of
from e820pool.handoff.encodings.model import Encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = ("EXT_ONLY", "OVERLAID", "whole_ram")


def whole_ram(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    """Return the firmware's map as it is, deposits being RAM.

    Raises:
        InputError: a deposit is not whole pages of RAM.
    """
    ledger.validate_inside(memory_map)
    return memory_map.flatten().entries.copy()


def _reserved_rows(_: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    return rows_of(ledger.extents.to_bytes(), E820_TYPE_RESERVED)


def _overlaid(memory_map: MemoryMap, ledger: DepositLedger) -> NDArray[Any]:
    reserved = _reserved_rows(memory_map, ledger)
    return np.concatenate((whole_ram(memory_map, ledger), reserved))


OVERLAID = Encoding(
    name="overlaid",
    meaning="RAM as it was, E820_TYPE_RESERVED laid over it",
    make_table=_overlaid,
    monotone=False,
)
"""RAM whole, RESERVED laid over it."""

EXT_ONLY = Encoding(
    name="ext-only",
    meaning="RAM as it was, E820_TYPE_RESERVED over it in SETUP_E820_EXT only",
    make_table=whole_ram,
    make_ext=_reserved_rows,
    monotone=False,
)
"""The same, RESERVED in SETUP_E820_EXT only."""
