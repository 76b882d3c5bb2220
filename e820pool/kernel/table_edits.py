"""What edits the table: mem=, memmap=, the BIOS area, the kernel itself, an EFI map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    E820_TYPE_SOFT_RESERVED,
    E820_TYPE_UNUSABLE,
)
from e820pool.abi.efi_map import EFI_CONVENTIONAL, EFI_MEMORY_SP, EFI_MEMORY_WB
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE, ByteRangeSet
from e820pool.kernel.cmdline import (
    COMMAND_LINE_CHARS,
    memparse,
    number_rules,
    options,
    parse_number,
)
from e820pool.kernel.early_memory import max_pfn
from e820pool.kernel.view import BootEnd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.kernel.cmdline import Option
    from e820pool.kernel.state import EarlyBoot

__all__ = (
    "ENDLESS_LINE",
    "KERNEL_UNMAPPED",
    "TRIMMED_PAGES",
    "TYPE_INTO_ITSELF",
    "USER_MAP_EMPTY",
    "add_efi_memmap",
    "apply_early_params",
    "find_endless_line",
    "find_unmapped_kernel",
    "finish_early_params",
    "force_kernel_range",
    "kernel_options",
    "trim_bios_range",
)

# What BIOSes call RAM and is not: page 0 and 640K to 1M.

_BIOS_BEGIN = 0xA_0000
_BIOS_END = 0x10_0000
_LOW_RAM_END = 1 << 32

TRIMMED_PAGES = ByteRangeSet([(0, PAGE_SIZE), (_BIOS_BEGIN, _BIOS_END)]).pages_inside()
"""What every kernel takes from RAM by itself: page 0 becomes RESERVED, the ISA hole is
removed."""


def trim_bios_range(boot: EarlyBoot) -> None:
    """Make page 0 RESERVED and remove RAM from the BIOS area, then sanitise.

    Linux 6.1 arch/x86/kernel/setup.c trim_bios_range().
    """
    if not boot.profile.has("bios-range-trimmed"):
        return
    table = boot.table
    table.retype(0, PAGE_SIZE, E820_TYPE_RAM, E820_TYPE_RESERVED)
    table.remove(_BIOS_BEGIN, _BIOS_END - _BIOS_BEGIN, E820_TYPE_RAM)
    boot.sanitize()


# The range of the running kernel image becomes RAM.

#: A full table had no room for it.
KERNEL_UNMAPPED = BootEnd(
    id="kernel-unmapped",
    words="crash in setup_arch: the kernel image is no memory",
    source="6.1 arch/x86/kernel/setup.c e820_add_kernel_range()",
)


def force_kernel_range(boot: EarlyBoot) -> None:
    """Replace whatever lies in the image's range by RAM, unless it is RAM already.

    A deposit under the image is re-typed here. The table is not sanitised: the
    next step does that. Linux 6.1 arch/x86/kernel/setup.c
    e820_add_kernel_range().
    """
    where = boot.inp.kernel_range
    if where is None or not boot.profile.has("kernel-range-forced"):
        return
    addr, end = where
    if boot.table.covers(addr, end, E820_TYPE_RAM):
        return
    boot.warn("kernel-range-not-ram")
    boot.table.remove(addr, end - addr, None)
    boot.table.add(addr, end - addr, E820_TYPE_RAM)


def find_unmapped_kernel(boot: EarlyBoot) -> None:
    """Note a kernel image that is not mapped: its page tables lie in it.

    That is so when the table had no room for the image's range. Only memory is
    mapped, before 3.9 all up to the end of low RAM. Linux 6.1 arch/x86/mm/init.c
    init_mem_mapping(); 2.6.32 arch/x86/kernel/setup.c setup_arch().
    """
    where = boot.inp.kernel_range
    if where is None:
        return
    if boot.profile.has("direct-map-covers-holes"):
        low = [row for row in boot.table.rows if row[0] < _LOW_RAM_END]
        end_pfn = max_pfn(low, counts_acpi=False)
        is_mapped = where.end <= min(end_pfn << PAGE_SHIFT, _LOW_RAM_END)
    else:
        is_mapped = boot.memory_bytes().contains(*where)
    if not is_mapped:
        boot.end_later(KERNEL_UNMAPPED)


#: Nothing is left of the map after mem= and memmap=.
USER_MAP_EMPTY = BootEnd(
    id="user-map-empty",
    words="Invalid user supplied memory map",
    source="6.1 arch/x86/kernel/e820.c e820__finish_early_params()",
)
#: BUG_ON in __e820__range_update().
TYPE_INTO_ITSELF = BootEnd(
    id="type-into-itself",
    words="BUG: memmap= changes a type into itself",
    source="6.1 arch/x86/kernel/e820.c __e820__range_update()",
)
#: 2048 bytes without a NUL.
ENDLESS_LINE = BootEnd(
    id="endless-line",
    words="BUG in fortified strlen(): the command line has no end",
    source="6.1 init/main.c setup_command_line()",
)

_U64_MAX = (1 << 64) - 1
_U32_MASK = (1 << 32) - 1
_ADDED = {
    "@": E820_TYPE_RAM,
    "#": E820_TYPE_ACPI,
    "$": E820_TYPE_RESERVED,
    "!": E820_TYPE_PRAM,
}


def kernel_options(boot: EarlyBoot) -> Iterator[Option]:
    """Yield the options that this kernel takes for its own.

    Linux 3.16 kernel/params.c parse_args(); 2.6.32 looks at all of them.
    """
    ends = boot.profile.has("double-dash-ends-options")
    return options(boot.inp.cmdline, dashes_end=ends)


def apply_early_params(boot: EarlyBoot) -> None:
    """Apply each mem= and memmap= in order, as raw edits.

    Linux 6.1 arch/x86/kernel/e820.c parse_memopt(), parse_memmap_opt().
    """
    if "mem" not in boot.inp.cmdline:
        return
    for name, value in kernel_options(boot):
        if value is None:
            continue
        if name == "mem":
            _mem(boot, value)
        elif name == "memmap":
            _memmap(boot, value)
        if boot.end:
            return


def finish_early_params(boot: EarlyBoot) -> None:
    """Sanitise and show the user's map; a kernel that cannot, panics.

    Linux 6.1 arch/x86/kernel/e820.c e820__finish_early_params().
    """
    if not boot.user_defined:
        return
    if boot.sanitize():
        boot.user_map = tuple(boot.table.rows)
    else:
        boot.end = USER_MAP_EMPTY


def find_endless_line(boot: EarlyBoot) -> None:
    """Note a command line of which the kernel copies 2048 bytes and no NUL.

    Fortified string functions end the boot where they look for its end.
    Linux 6.1 arch/x86/kernel/head64.c copy_bootdata(), init/main.c
    setup_command_line(); 5.10 arch/x86/kernel/setup.c setup_arch().
    """
    endless = len(boot.inp.cmdline.partition("\0")[0]) > COMMAND_LINE_CHARS
    if endless and boot.profile.has("endless-command-line-kills"):
        boot.end_later(ENDLESS_LINE)


def _mem(boot: EarlyBoot, value: str) -> None:
    if value == "nopentium":
        return
    boot.user_defined = True
    size, _ = _size(boot, value)
    # mem=0 and what is no number take nothing away.
    if size:
        _limit(boot, size)


def _memmap(boot: EarlyBoot, value: str) -> None:
    listed = boot.profile.has("memmap-list")
    for item in value.split(",") if listed else [value]:
        _memmap_item(boot, item)
        if boot.end:
            return


def _memmap_item(boot: EarlyBoot, item: str) -> None:
    if item.startswith("exactmap"):
        boot.table.rows = []
        boot.user_defined = True
        return
    size, rest = _size(boot, item)
    if rest == item:
        return
    boot.user_defined = True
    sign = rest[:1]
    if sign == "%" and boot.profile.has("memmap-retype"):
        _retype(boot, size, rest[1:])
    elif sign in _ADDED and (sign != "!" or boot.profile.has("memmap-pram")):
        addr, _ = _size(boot, rest[1:])
        boot.table.add(addr, size, _ADDED[sign])
    else:
        _limit(boot, size)


# RAM from there on goes, other types stay.
def _limit(boot: EarlyBoot, addr: int) -> None:
    boot.table.remove(addr, _U64_MAX - addr, E820_TYPE_RAM)


# N%S-old+new; a part that is not there counts as type 0.
def _retype(boot: EarlyBoot, size: int, rest: str) -> None:
    addr, rest = _size(boot, rest)
    old = new = 0
    rules = number_rules(boot.profile)
    if rest.startswith("-"):
        old, rest = parse_number(rest[1:], rules)
    if rest.startswith("+"):
        new, rest = parse_number(rest[1:], rules)
    if rest:
        return
    old, new = old & _U32_MASK, new & _U32_MASK
    if old and old == new:
        # __e820__range_update() has a BUG_ON() for that.
        boot.end = TYPE_INTO_ITSELF
    elif old and new:
        boot.table.retype(addr, size, old, new)
    elif new:
        boot.table.add(addr, size, new)
    else:
        boot.table.remove(addr, size, old or None)


def _size(boot: EarlyBoot, text: str) -> tuple[int, str]:
    return memparse(text, number_rules(boot.profile))


# An EFI memory map's ranges are added.

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
    if late and any(option.name == "noefi" for option in said):
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
