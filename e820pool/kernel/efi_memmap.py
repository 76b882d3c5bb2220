"""An EFI memory map's ranges are added to the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_PMEM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    E820_TYPE_SOFT_RESERVED,
    E820_TYPE_UNUSABLE,
)
from e820pool.abi.efi_map import EFI_CONVENTIONAL, EFI_MEMORY_SP, EFI_MEMORY_WB
from e820pool.extents import PAGE_SHIFT
from e820pool.kernel.table_edits import kernel_options

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot

__all__ = ("add_efi_memmap",)

# Loader code and data, boot services code and data.
_MEMORY = {1, 2, 3, 4, EFI_CONVENTIONAL}
_OTHERS = {
    8: E820_TYPE_UNUSABLE,
    9: E820_TYPE_ACPI,
    10: E820_TYPE_NVS,
    14: E820_TYPE_PMEM,
}


def add_efi_memmap(boot: EarlyBoot) -> None:
    """Add an EFI memory map to the table, when the kernel does so.

    It does with ``add_efi_memmap`` on the command line (4.9 to 4.12 look at it too
    late), and when conventional memory is special-purpose. A map outside of the
    handoff adds nothing here.
    Linux 6.1 arch/x86/platform/efi/efi.c do_add_efi_memmap().
    """
    efi = boot.inp.efi
    if efi is None or efi.rows is None or not boot.profile.config["EFI"]:
        return
    said = list(kernel_options(boot))
    late = boot.profile.has("noefi-leaves-efi-map-unread")
    if late and any(one.name == "noefi" for one in said):
        return
    soft = boot.profile.has("efi-special-purpose-is-soft-reserved")
    soft = soft and not any(
        o.name == "efi" and "nosoftreserve" in (o.value or "").split(",") for o in said
    )
    special = soft and any(
        kind == EFI_CONVENTIONAL and attribute & EFI_MEMORY_SP
        for _, _, kind, attribute in efi.rows
    )
    asked = any(o.name == "add_efi_memmap" for o in said)
    heeds = not boot.profile.has("efi-map-read-before-options")
    if not special and not (asked and heeds):
        return
    for addr, nr_pages, kind, attribute in efi.rows:
        boot.table.add(
            addr, nr_pages << PAGE_SHIFT, _type_of(kind, attribute, soft=soft)
        )
    boot.sanitize()


def _type_of(kind: int, attribute: int, *, soft: bool) -> int:
    if kind not in _MEMORY:
        return _OTHERS.get(kind, E820_TYPE_RESERVED)
    if soft and attribute & EFI_MEMORY_SP:
        return E820_TYPE_SOFT_RESERVED
    return E820_TYPE_RAM if attribute & EFI_MEMORY_WB else E820_TYPE_RESERVED
