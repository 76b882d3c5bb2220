"""/sys/firmware/memmap: which table it shows, and what that table may not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.kernel.boot_end import BootEnd

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot
    from e820pool.kernel.view import Row

__all__ = ("ENDS_AT_2_64", "firmware_rows", "register_firmware_map")

#: An entry of the firmware's map ends at 2^64.
ENDS_AT_2_64 = BootEnd(
    id="ends-at-2-64",
    words="BUG in firmware_map_add_entry",
    source="6.1 drivers/firmware/memmap.c firmware_map_add_entry()",
)

_U64_MAX = (1 << 64) - 1


def firmware_rows(boot: EarlyBoot) -> list[Row] | None:
    """Return the rows that /sys/firmware/memmap shows, None without it.

    Linux 6.1 arch/x86/kernel/e820.c e820__reserve_resources().
    """
    if not boot.profile.config["FIRMWARE_MEMMAP"]:
        return None
    by_kexec = boot.profile.has("firmware-memmap-shows-kexec-table")
    return (boot.kexec if by_kexec else boot.firmware).rows


def register_firmware_map(boot: EarlyBoot) -> None:
    """Note a row that ends at 2^64: registering it is a BUG.

    That is long after memory was set up. Linux 6.1 drivers/firmware/memmap.c
    firmware_map_add_entry().
    """
    rows = firmware_rows(boot) or ()
    reaches = max([addr + size for addr, size, _ in rows], default=0) > _U64_MAX
    if reaches and boot.profile.has("firmware-map-bug-at-2-64"):
        boot.end_later(ENDS_AT_2_64)
