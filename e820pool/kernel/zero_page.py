"""The zero page's table becomes the kernel's first map, or is thrown away."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.boot_params import E820_TABLE_OFFSET
from e820pool.abi.e820 import E820_ENTRY_BYTES, E820_MAX_ENTRIES_ZEROPAGE, E820_TYPE_RAM
from e820pool.abi.setup_data import NODE_HEADER_BYTES, SETUP_E820_EXT
from e820pool.extents import PAGE_SIZE, Span
from e820pool.kernel.kernel_table import is_swept, sanitize_rows
from e820pool.kernel.view import BootEnd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.state import EarlyBoot
    from e820pool.kernel.view import MapSource
    from e820pool.range_lists import Row

__all__ = (
    "COUNT_TOO_HIGH",
    "EARLY_MAP_BYTES",
    "NODE_TOO_LARGE",
    "accepted_rows",
    "after_sentinel",
    "chain_is_ignored",
    "read_extended",
    "read_zero_page",
)

# What a set sentinel takes from the zero page before anything reads it.

_LOW_HALF = (1 << 32) - 1
# _pad8 and _pad9, as offsets from e820_table: a count above 128 reads them.
_CLEARED = (
    (0xCD0 - E820_TABLE_OFFSET, 0xD00 - E820_TABLE_OFFSET),
    (0xEEC - E820_TABLE_OFFSET, None),
)


def after_sentinel(inp: BootInput, profile: Profile) -> BootInput:
    """Return what is left to read when the sentinel is set.

    Every such kernel clears the upper halves of the initrd's and the command
    line's address; the e820 table, its count and the setup_data pointer stay, and
    of entries behind the table's 128 those that lie in the EDD buffer.
    A command line above 4 GiB is lost, as the kernel then looks elsewhere.
    Linux 6.1 arch/x86/include/asm/bootparam_utils.h sanitize_boot_params().
    """
    clears = ("sentinel-clears-ranges", "sentinel-keeps-list")
    if not inp.sentinel or not any(profile.has(name) for name in clears):
        return inp
    where, line = inp.cmdline_range, inp.cmdline
    if where is not None and where[0] > _LOW_HALF:
        where, line = None, ""
    return replace(
        inp,
        table=_without_padding(inp.table),
        initrd=_low_half(inp.initrd),
        cmdline_range=where,
        cmdline=line,
    )


def _without_padding(table: NDArray[Any]) -> NDArray[Any]:
    if table.size <= E820_MAX_ENTRIES_ZEROPAGE:
        return table
    raw = np.frombuffer(table.tobytes(), np.uint8).copy()
    for start, end in _CLEARED:
        raw[start:end] = 0
    return raw.view(table.dtype)


def _low_half(span: Span | None) -> Span | None:
    if span is None:
        return None
    size = span.size & _LOW_HALF
    return Span.at(span.start & _LOW_HALF, size) if size else None


#: Before 4.12.
COUNT_TOO_HIGH = BootEnd(
    id="count-too-high",
    words="BUG: more than 128 entries in the zero page",
    source="4.4 arch/x86/kernel/e820.c sanitize_e820_map()",
)

# LOWMEMSIZE(): conventional memory of the fallback map (2.6.32 to 7.3).
_LOWMEM_BYTES = 0x9_F000

_HIGH_MEMORY = 1 << 20
_U64 = 1 << 64


def read_zero_page(boot: EarlyBoot) -> None:
    """Fill the table from the zero page, as e820__memory_setup() does.

    Linux 6.1 arch/x86/kernel/e820.c e820__memory_setup_default(); before 4.12
    default_machine_specific_memory_setup().
    """
    given = boot.given
    fits = len(given) <= min(E820_MAX_ENTRIES_ZEROPAGE, boot.table.capacity)
    if fits and boot.is_swept is None:
        boot.is_swept = is_swept(given)
    if fits and boot.is_swept:
        boot.table.fill(given)
    else:
        _read_unswept(boot, given)
    if boot.end is None:
        boot.keep_firmware_map()
        boot.bios_map = tuple(boot.table.rows)


def _read_unswept(boot: EarlyBoot, given: list[Row]) -> None:
    if boot.profile.has("sanitize-in-place"):
        if len(given) > E820_MAX_ENTRIES_ZEROPAGE:
            boot.end = COUNT_TOO_HIGH
            return
        given = _sanitize_in_place(boot, given)
    taken, bad = accepted_rows(given, boot.profile)
    if bad or (len(given) < _MOST_NEEDED and len(given) < _least(boot.profile)):
        boot.dropped += given
        _fall_back(boot)
    else:
        boot.table.add_all(taken)
    if not boot.profile.has("sanitize-in-place"):
        boot.sanitize()


def accepted_rows(rows: list[Row], profile: Profile) -> tuple[list[Row], list[Row]]:
    """Return the rows before the first one that wraps, and the rest.

    __append_e820_table(). From 4.9 on an entry that ends exactly at 2^64 passes.
    """
    if max([addr + size for addr, size, _ in rows], default=0) < _U64:
        return rows, []
    limit = _U64 - profile.has("append-refuses-end-at-2-64")
    for at, (addr, size, _) in enumerate(rows):
        if addr + size > limit and size:
            return rows[:at], rows[at:]
    return rows, []


# Entries that a kernel needs at least; it takes whatever has more.
_MOST_NEEDED = 2


def _least(profile: Profile) -> int:
    if profile.has("append-needs-two"):
        return _MOST_NEEDED
    return 1 if profile.has("append-needs-one") else 0


def _sanitize_in_place(boot: EarlyBoot, given: list[Row]) -> list[Row]:
    done = sanitize_rows(
        given,
        capacity=E820_MAX_ENTRIES_ZEROPAGE,
        never_merge=boot.profile.never_merge,
    )
    if done.refused:
        boot.warn("sanitizer-refused")
    boot.dropped += done.cut
    return done.rows


# Two RAM entries from what a BIOS said before e820; it knows no RESERVED.
def _fall_back(boot: EarlyBoot) -> None:
    inp = boot.inp
    mem_k, source = _fallback_size(inp.alt_mem_k, inp.ext_mem_k)
    boot.map_source = source
    boot.warn("fallback-map")
    boot.table.rows = []
    boot.table.add(0, _LOWMEM_BYTES, E820_TYPE_RAM)
    boot.table.add(_HIGH_MEMORY, mem_k << 10, E820_TYPE_RAM)


def _fallback_size(alt_mem_k: int, ext_mem_k: int) -> tuple[int, MapSource]:
    if alt_mem_k < ext_mem_k:
        return ext_mem_k, "BIOS-88"
    return alt_mem_k, "BIOS-e801"


# SETUP_E820_EXT nodes are appended to the table.

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
    if not boot.extended or chain_is_ignored(boot):
        return
    places = [s.addr for s in boot.inp.setup_data or () if s.type == SETUP_E820_EXT]
    for index, entries in enumerate(boot.extended):
        place = places[index] if index < len(places) else 0
        too_large = _too_large(len(entries), place)
        if too_large and boot.profile.has("ext-node-mapped-whole"):
            boot.end = NODE_TOO_LARGE
            return
        _append(boot, entries)


def chain_is_ignored(boot: EarlyBoot) -> bool:
    """Return whether hdr.version is too old for this kernel to look at any node.

    Linux 2.6.32 arch/x86/kernel/setup.c parse_setup_data().
    """
    is_old = boot.inp.protocol < _PROTOCOL_2_09
    return is_old and boot.profile.has("setup-data-needs-protocol-2-09")


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
