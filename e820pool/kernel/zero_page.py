"""The zero page's table becomes the kernel's first map, or is thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE, E820_TYPE_RAM
from e820pool.kernel.boot_end import BootEnd
from e820pool.kernel.sanitize import sanitize_rows

if TYPE_CHECKING:
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.state import EarlyBoot
    from e820pool.kernel.view import MapSource, Row

__all__ = ("COUNT_TOO_HIGH", "accepted_rows", "read_zero_page")

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
    if boot.profile.has("sanitize-in-place"):
        if len(given) > E820_MAX_ENTRIES_ZEROPAGE:
            boot.end = COUNT_TOO_HIGH
            return
        given = _sanitize_in_place(boot, given)
    taken, bad = accepted_rows(given, boot.profile)
    if bad or len(given) < _least(boot.profile):
        boot.dropped += given
        _fall_back(boot)
    else:
        boot.table.add_all(taken)
    if not boot.profile.has("sanitize-in-place"):
        boot.sanitize()
    boot.keep_firmware_map()
    boot.bios_map = tuple(boot.table.rows)


def accepted_rows(rows: list[Row], profile: Profile) -> tuple[list[Row], list[Row]]:
    """Return the rows before the first one that wraps, and the rest.

    __append_e820_table(). From 4.9 on an entry that ends exactly at 2^64 passes.
    """
    limit = _U64 - profile.has("append-refuses-end-at-2-64")
    if max([addr + size for addr, size, _ in rows], default=0) <= limit:
        return rows, []
    for at, (addr, size, _) in enumerate(rows):
        if addr + size > limit and size:
            return rows[:at], rows[at:]
    return rows, []


def _least(profile: Profile) -> int:
    if profile.has("append-needs-two"):
        return 2
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
