"""SETUP_E820_EXT nodes are appended to the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_ENTRY_BYTES
from e820pool.abi.setup_data import NODE_HEADER_BYTES, SETUP_E820_EXT
from e820pool.extents import PAGE_SIZE
from e820pool.kernel.boot_end import BootEnd
from e820pool.kernel.zero_page import accepted_rows

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot
    from e820pool.kernel.view import Row

__all__ = ("EARLY_MAP_BYTES", "NODE_TOO_LARGE", "read_extended")

#: More than 64 pages.
NODE_TOO_LARGE = BootEnd(
    id="node-too-large",
    words="SETUP_E820_EXT node too large to map",
    source="6.1 arch/x86/kernel/e820.c e820__memory_setup_extended()",
)

EARLY_MAP_BYTES = 64 * PAGE_SIZE
"""NR_FIX_BTMAPS pages: what early_memremap() maps at once (2.6.32 to 7.3)."""

_PROTOCOL_2_09 = 0x0209


def read_extended(boot: EarlyBoot) -> None:
    """Append the entries of each SETUP_E820_EXT node, in chain order.

    After each node the whole table is sanitised and printed. The limit of two
    entries does not count here, and a bad entry ends only its own node.
    Linux 6.1 arch/x86/kernel/e820.c e820__memory_setup_extended(); before 4.12
    parse_e820_ext().
    """
    if not boot.extended or _chain_is_ignored(boot):
        return
    places = [s.addr for s in boot.inp.setup_data or () if s.type == SETUP_E820_EXT]
    mapped_whole = boot.profile.has("ext-node-mapped-whole")
    for index, entries in enumerate(boot.extended):
        place = places[index] if index < len(places) else 0
        if mapped_whole and _too_large(len(entries), place):
            boot.end = NODE_TOO_LARGE
            return
        _append(boot, entries)


def _chain_is_ignored(boot: EarlyBoot) -> bool:
    gated = boot.profile.has("setup-data-needs-protocol-2-09")
    return gated and boot.inp.protocol < _PROTOCOL_2_09


# early_memremap() maps whole pages and returns NULL beyond its limit, which is
# then read from.
def _too_large(nr_entries: int, addr: int) -> bool:
    node_bytes = NODE_HEADER_BYTES + nr_entries * E820_ENTRY_BYTES
    return (addr & 0xFFF) + node_bytes > EARLY_MAP_BYTES


def _append(boot: EarlyBoot, entries: list[Row]) -> None:
    taken, bad = accepted_rows(entries, boot.profile)
    boot.table.add_all(taken)
    if bad:
        boot.warn("ext-entry-refused")
        boot.dropped += bad
    boot.sanitize()
    if boot.profile.has("ext-refreshes-firmware-map"):
        boot.keep_firmware_map()
    boot.extended_map = tuple(boot.table.rows)
