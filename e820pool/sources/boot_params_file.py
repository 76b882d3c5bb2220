"""Read a memory map from a zero page, with the setup_data that lies beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    BootParams,
    parse_boot_params,
    validate_e820_count,
)
from e820pool.abi.e820 import E820_ENTRY_BYTES, parse_table
from e820pool.abi.setup_header import HDRS_MAGIC
from e820pool.errors import BadImageError
from e820pool.memory_map import MemoryMap
from e820pool.sources.files import numbered_entries, parse_hex_attribute, read_inside
from e820pool.sources.oddities import note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from e820pool.findings import Finding

__all__ = ("map_of_boot_params", "read_sysfs_nodes")

# No x86 processor addresses more: what lies above is no entry of a real table.
_PHYSICAL_LIMIT = 1 << 52


def read_sysfs_nodes(path: Path) -> list[tuple[int, bytes]]:
    """Return ``(type, payload)`` of a ``setup_data/N/{type,data}`` tree.

    The order of N is the order of the chain (arch/x86/kernel/ksysfs.c, 3.14 to
    7.3); ``data`` is the payload without the node's header. A directory that is
    not there is an empty chain.

    Raises:
        InputError: a file cannot be read.
        BadImageError: a type is no number.
    """
    if not path.is_dir():
        return []
    return [
        (
            parse_hex_attribute(entry / "type", 1 << 32),
            read_inside(entry / "data", empty=True),
        )
        for _, entry in numbered_entries(path)
    ]


def map_of_boot_params(
    data: bytes, *, ext: Sequence[bytes] | None = None, origin: str = ""
) -> MemoryMap:
    """Return the zero page's entries as written, then those of ``ext``.

    Args:
        data: 4096 bytes.
        ext: the SETUP_E820_EXT payloads in chain order; None when the chain is
            not at hand, which is noted if the page has one.
        origin: the name of the source, for messages.

    Raises:
        BadImageError: another length, a count above 128 or of 0, or content that
            is no boot_params.
    """
    if len(data) != BOOT_PARAMS_BYTES:
        raise BadImageError(
            f"{origin!r} is {len(data):#x} bytes of binary data: a boot_params has "
            f"{BOOT_PARAMS_BYTES:#x}"
        )
    params = parse_boot_params(data)
    validate_e820_count(params)
    _validate_plausible(params, origin)
    # Every kernel ignores what is left over (parse_e820_ext, 2.6.32 to 7.3).
    whole = (p[: len(p) // E820_ENTRY_BYTES * E820_ENTRY_BYTES] for p in ext or ())
    return MemoryMap(
        entries=np.concatenate([params.e820_map, *map(parse_table, whole)]),
        origin=f"{origin} (boot_params)",
        notes=_notes(params, ext),
    )


def _validate_plausible(params: BootParams, origin: str) -> None:
    table = params.e820_map
    if not table.size:
        raise BadImageError(f"{origin!r}: e820_entries is 0x0: the page holds no map")
    if params.hdr.header == HDRS_MAGIC:
        return
    for at in np.flatnonzero(table["addr"] >= _PHYSICAL_LIMIT)[:1].tolist():
        raise BadImageError(
            f"{origin!r} is no boot_params: it has no 'HdrS' at 0x202, and entry {at} "
            f"is at {int(table['addr'][at]):#x}, beyond {_PHYSICAL_LIMIT:#x}"
        )


def _notes(params: BootParams, ext: Sequence[bytes] | None) -> tuple[Finding, ...]:
    chain = params.hdr.setup_data
    if chain and ext is None:
        message = (
            f"hdr.setup_data is {chain:#x}, and the chain is not beside the page: "
            "entries in SETUP_E820_EXT nodes, if any, are missing"
        )
        return (note("setup-data-unread", message),)
    cut = [len(p) for p in ext or () if len(p) % E820_ENTRY_BYTES]
    if not cut:
        return ()
    message = (
        f"a SETUP_E820_EXT payload has {cut[0]:#x} bytes: the last "
        f"{cut[0] % E820_ENTRY_BYTES} are no whole entry"
    )
    return (note("ext-remainder", message),)
