"""What a kernel's final table is called in /proc/iomem and /sys/firmware/memmap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    E820_TYPE_RESERVED_KERN,
    E820_TYPE_SOFT_RESERVED,
)
from e820pool.kernel.view import BootEnd
from e820pool.type_words import TYPE_WITHOUT_NUMBER, resource_name, type_of_resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.state import EarlyBoot
    from e820pool.range_lists import Row

__all__ = (
    "ENDS_AT_2_64",
    "firmware_rows",
    "iomem_rows",
    "named_rows",
    "named_type",
    "register_firmware_map",
)

# /sys/firmware/memmap: which table it shows, and what that table may not hold.

#: An entry of the firmware's map ends at 2^64.
ENDS_AT_2_64 = BootEnd(
    id="ends-at-2-64",
    words="BUG in firmware_map_add_entry",
    source="6.1 drivers/firmware/memmap.c firmware_map_add_entry()",
)

_U64_MAX = (1 << 64) - 1


def firmware_rows(boot: EarlyBoot, profile: Profile) -> tuple[Row, ...] | None:
    """Return the rows that /sys/firmware/memmap shows, None without it.

    The state is one that no step changes any more.

    Linux 6.1 arch/x86/kernel/e820.c e820__reserve_resources().
    """
    if not profile.config["FIRMWARE_MEMMAP"]:
        return None
    by_kexec = profile.has("firmware-memmap-shows-kexec-table")
    return boot.kexec_rows if by_kexec else boot.firmware_rows


def register_firmware_map(boot: EarlyBoot) -> None:
    """Note a row that ends at 2^64: registering it is a BUG.

    That is long after memory was set up. Linux 6.1 drivers/firmware/memmap.c
    firmware_map_add_entry().
    """
    rows = firmware_rows(boot, boot.profile) or ()
    reaches = max([addr + size for addr, size, _ in rows], default=0) > _U64_MAX
    if reaches and boot.profile.has("firmware-map-bug-at-2-64"):
        boot.end_later(ENDS_AT_2_64)


_FIRST_MIB = 1 << 20


def named_type(kind: int, profile: Profile) -> int:
    """Return the type that this kernel's name for ``kind`` stands for.

    Unknown types share a name, :data:`~e820pool.type_words.TYPE_WITHOUT_NUMBER`.
    Linux 6.1 arch/x86/kernel/e820.c e820_type_to_string().
    """
    if kind == E820_TYPE_RESERVED_KERN and profile.has("type-128-is-memory"):
        return E820_TYPE_RAM
    known = kind != E820_TYPE_RESERVED_KERN and type_of_resource(resource_name(kind))
    if kind == E820_TYPE_SOFT_RESERVED and not profile.has("soft-reserved"):
        known = TYPE_WITHOUT_NUMBER
    old = not profile.has("persistent-memory-has-names")
    if kind in (E820_TYPE_PMEM, E820_TYPE_PRAM) and old:
        known = TYPE_WITHOUT_NUMBER
    if known and known != TYPE_WITHOUT_NUMBER:
        return known
    reserved = profile.has("iomem-says-reserved")
    return E820_TYPE_RESERVED if reserved else TYPE_WITHOUT_NUMBER


def named_rows(rows: Iterable[Row], profile: Profile) -> list[Row]:
    """Return rows with the types that /sys/firmware/memmap names."""
    return [(addr, size, named_type(kind, profile)) for addr, size, kind in rows]


def iomem_rows(rows: Iterable[Row], profile: Profile, address_bits: int) -> list[Row]:
    """Return what /proc/iomem shows of a final table that was sanitised.

    Where a device's resource lies over the edge of a row that no driver may share,
    the row is widened; that depends on the machine.

    Args:
        rows: the final table.
        profile: of the kernel.
        address_bits: of the CPU; what lies beyond is no resource, but to 2.6.32.
    """
    ends = profile.has("iomem-ends-with-address-bits")
    limit = 1 << (address_bits if ends else 64)
    apart = profile.has("soft-reserved-has-own-tree")
    shown = [row for row in rows if row[1] and row[0] + row[1] <= limit]
    if apart:
        # Below 1 MiB nothing is a device's.
        soft = E820_TYPE_SOFT_RESERVED
        shown = [r for r in shown if r[2] != soft or r[0] < _FIRST_MIB]
    return named_rows(shown, profile)
