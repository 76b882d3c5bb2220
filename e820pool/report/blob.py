"""A map as a zero page, and what does not fit it as a SETUP_E820_EXT payload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.boot_params import BootParams, encode_boot_params
from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE, encode_table
from e820pool.errors import CapacityError

if TYPE_CHECKING:
    from e820pool.memory_map import MemoryMap


__all__ = ("boot_params_blob", "split_blob")


def boot_params_blob(memory_map: MemoryMap) -> bytes:
    """Return the 4096 bytes of a zero page that holds only this map.

    It shows a map; it boots nothing. ``build`` makes a zero page that does.

    Raises:
        CapacityError: more than 128 entries; one file has no room for the rest.
    """
    if len(memory_map) > E820_MAX_ENTRIES_ZEROPAGE:
        raise CapacityError(
            f"{len(memory_map)} entries do not fit one zero page, which holds "
            f"{E820_MAX_ENTRIES_ZEROPAGE}: write a directory (SETUP_E820_EXT) instead"
        )
    return encode_boot_params(BootParams.zero().with_table(memory_map.entries))


def split_blob(memory_map: MemoryMap) -> dict[str, bytes]:
    """Return the files of a tree shaped as /sys/kernel/boot_params.

    ``data`` is the zero page; entries beyond 128 are in ``setup_data/0/data``, the
    payload of a SETUP_E820_EXT node. The node has no address, so that
    hdr.setup_data is 0 as well.
    """
    head = memory_map.entries[:E820_MAX_ENTRIES_ZEROPAGE]
    extended = memory_map.entries[E820_MAX_ENTRIES_ZEROPAGE:]
    files = {"data": encode_boot_params(BootParams.zero().with_table(head))}
    if extended.size:
        files["setup_data/0/type"] = b"0x1\n"
        files["setup_data/0/data"] = encode_table(extended)
    return files
