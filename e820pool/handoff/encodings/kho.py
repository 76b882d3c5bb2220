"""Kexec handover: RAM as it was, the deposits preserved by a SETUP_KEXEC_KHO node.

A kernel without it, or with it off, skips the node and has all of RAM for itself, and
so does one that wants another ABI: there is an encoding for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.abi.kho import KHO_V1, KHO_V4, encode_kho_payload
from e820pool.abi.setup_data import SETUP_KEXEC_KHO, SetupDataNode
from e820pool.errors import CapacityError
from e820pool.extents import ByteRangeSet, round_up
from e820pool.handoff.encodings.model import Encoding
from e820pool.handoff.encodings.overlaid import whole_ram

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.deposits import DepositLedger
    from e820pool.memory_map import MemoryMap

__all__ = ("KHO", "KHO_RADIX")

_ALIGN = 2 << 20
# From here on: below lie the handoff's own parts and the real-mode trampoline.
_LOW, _HIGH = 1 << 24, 1 << 32
_WANTED = 256 << 20


def _scratch_area(memory_map: MemoryMap, ledger: DepositLedger) -> tuple[int, int]:
    """Return ``(addr, size)`` of RAM without deposits, 256 MiB where there is room.

    Raises:
        CapacityError: there is no block of 2 MiB.
    """
    ram = memory_map.bytes_of(E820_TYPE_RAM) - ledger.extents.to_bytes()
    best = (0, 0)
    for start, end in ram & ByteRangeSet([(_LOW, _HIGH)]):
        at = round_up(start, _ALIGN)
        size = (end // _ALIGN * _ALIGN) - at
        if min(size, _WANTED) > best[1]:
            best = (at, min(size, _WANTED))
    if best[1] <= 0:
        raise CapacityError(
            f"no {_ALIGN:#x} bytes of RAM without deposits within [{_LOW:#x}, "
            f"{_HIGH:#x}) for a scratch area"
        )
    return best


def _encoding(name: str, compatible: str, releases: str) -> Encoding:
    def nodes(
        memory_map: MemoryMap, ledger: DepositLedger, addr_of: Callable[[int], int]
    ) -> list[SetupDataNode]:
        scratch = [_scratch_area(memory_map, ledger)]
        payload = encode_kho_payload(addr_of(0), ledger.extents, scratch, compatible)
        return [SetupDataNode(type=SETUP_KEXEC_KHO, data=payload)]

    return Encoding(
        name=name,
        meaning=f"RAM as it was, deposits preserved by a kexec handover of {releases}",
        make_table=whole_ram,
        make_nodes=nodes,
        monotone=False,
        carries_record=False,
    )


KHO = _encoding("kho", KHO_V1, "6.16 to 7.0")
"""A kexec handover node as 6.16 to 7.0 read it; the table does not change."""

KHO_RADIX = _encoding("kho-v4", KHO_V4, "7.2 and 7.3")
"""A kexec handover node as 7.2 and 7.3 read it; the table does not change."""
