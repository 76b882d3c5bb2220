"""EFI memory maps in text: a kernel's efi=debug, UEFI's shell, GRUB's lsefimmap."""

from __future__ import annotations

import re
from dataclasses import replace
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
from e820pool.sources.oddities import note
from e820pool.sources.printed_map import (
    HEX,
    HEX_BEGUN,
    RANGE_BEGUN,
    PrintedForm,
    PrintedMap,
    begun_pattern,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.findings import Finding
    from e820pool.range_lists import Row

__all__ = ("EFI_FORMS", "as_e820")


# UEFI 2.10, 7.2.3 EFI_MEMORY_DESCRIPTOR: the types by number, and two attributes.
_RESERVED_TYPES = {0, 5, 6, 11, 12, 13}
_RAM_TYPES = {1, 2, 3, 4, 7, 15}
_OTHER_TYPES = {
    8: E820_TYPE_UNUSABLE,
    9: E820_TYPE_ACPI,
    10: E820_TYPE_NVS,
    14: E820_TYPE_PMEM,
}
_ATTRIBUTE_SP = 1 << 18

# By their letters alone, in small: efi.c to 4.1 and since (13 characters), edk2's shell
# in short and in full, GRUB's lsefimmap.
_NUMBER_OF = {
    **dict.fromkeys(("reserved", "reservedmemorytype"), 0),
    **dict.fromkeys(("loadercode", "ldrcode"), 1),
    **dict.fromkeys(("loaderdata", "ldrdata"), 2),
    **dict.fromkeys(("bootcode", "bscode", "bootservicecode", "bootservicescode"), 3),
    **dict.fromkeys(("bootdata", "bsdata", "bootservicedata", "bootservicesdata"), 4),
    **dict.fromkeys(("runtimecode", "rtcode", "runtimeservicescode"), 5),
    **dict.fromkeys(("runtimedata", "rtdata", "runtimeservicesdata"), 6),
    **dict.fromkeys(("conventional", "conventionalmemory"), 7),
    **dict.fromkeys(("available", "convmem"), 7),
    **dict.fromkeys(("unusable", "unusablememory"), 8),
    **dict.fromkeys(("acpireclaim", "acpireclaimmemory", "acpirecl", "acpirec"), 9),
    **dict.fromkeys(("acpimemnvs", "acpimemorynvs", "acpinvs"), 10),
    **dict.fromkeys(("mmio", "memorymappedio"), 11),
    **dict.fromkeys(("mmioport", "mmioportspace", "memorymappedioportspace"), 12),
    "ioports": 12,
    "palcode": 13,
    **dict.fromkeys(("persistent", "persistentmemory", "persist"), 14),
    **dict.fromkeys(("unaccepted", "unacceptedmemory", "unacceptedmemorytype"), 15),
}
_LETTERS = re.compile(r"[^a-z]")


# Linux 6.12 drivers/firmware/efi/libstub/x86-stub.c setup_e820(), so since 3.x; what a
# kernel adds with add_efi_memmap (arch/x86/platform/efi/efi.c do_add_efi_memmap()) is
# the same, but for RAM that is not write-back, which it reserves.
def _e820_of(efi: int | None, *, is_soft: bool) -> int | None:
    if efi is None:
        return None
    if efi in _RAM_TYPES:
        return E820_TYPE_SOFT_RESERVED if is_soft else E820_TYPE_RAM
    if efi in _RESERVED_TYPES:
        return E820_TYPE_RESERVED
    return _OTHER_TYPES.get(efi)


def _type_of(match: re.Match[str]) -> int | None:
    fields = match.groupdict()
    words, attributes = (
        fields["words"],
        fields.get("attributes") or fields.get("flags") or "",
    )
    number = fields.get("type")
    if number is not None:
        efi: int | None = int(number)
    elif words.startswith("type="):
        efi = int(words[5:])
    elif re.fullmatch("[0-9a-fA-F]{8}", words):
        efi = int(words, 16)
    else:
        efi = _NUMBER_OF.get(_LETTERS.sub("", words.lower()))
    return _e820_of(efi, is_soft=_is_soft(attributes))


# SP among names, or bit 18 of a number.
def _is_soft(attributes: str) -> bool:
    if re.search(r"(?:^|[|\s])SP(?:$|[|\s])", attributes):
        return True
    match = re.search(r"(?:attr=)?(?:0x)?([0-9a-fA-F]{1,16})\s*$", attributes)
    return match is not None and bool(int(match[1], 16) & _ATTRIBUTE_SP)


def _about(_printed: PrintedMap) -> Iterator[Finding]:
    yield note(
        "efi-memory-map",
        "an EFI memory map is no e820 table: it is read as the kernel's EFI stub makes "
        "one of it (boot services, loader and unaccepted memory are RAM, EFI_MEMORY_SP "
        "is soft reserved, neighbours of one type are joined); add_efi_memmap would "
        "reserve RAM that is not write-back",
    )


# arch/x86/platform/efi/efi.c efi_print_memmap() and print_efi_memmap():
# `mem00: type=7, attr=0xf, range=[0x..-0x..) (0MB)` to 3.17, the end exclusive, from
# 3.18 names and attributes between bars, from 4.2 the end inclusive and `]`.
_EFI_KERNEL = PrintedForm(
    name="a kernel's list of the EFI memory map",
    signs=("mem0", "range=[0x"),
    hints=("mem0", "range=[0x"),
    entry=re.compile(
        r"(?<![\w/])mem(?P<number>[0-9]{2,5}):\s*(?:type=(?P<type>[0-9]{1,10}),\s*"
        r"(?P<attributes>attr=0x[0-9a-fA-F]{1,16}),|\[(?P<words>[^|\]\[]{3,24}?)\s*"
        r"\|(?P<flags>[^\]\[:]{0,80})\])\s*range=\[\s*(?:0x(?P<addr>[0-9a-fA-F]{16})-"
        r"0x(?P<last>[0-9a-fA-F]{16})\]|0x(?P<start>[0-9a-fA-F]{16})-"
        r"0x(?P<end>[0-9a-fA-F]{16})\))"
    ),
    begun=begun_pattern(
        r"(?<![\w/])mem[0-9]{2,5}:",
        (r"type=[0-9]+,|\[[^|\]\[]{3,24}", r"[\[t][^|\]]{0,24}"),
        (r"attr=0x[0-9a-fA-F]+,|\|[^\]]{0,80}\]", r"[|a][^\]]{0,80}"),
        (r"range=\[", r"r?a?n?g?e?=?\[?"),
        ("0x[0-9a-fA-F]{16}", "0?x?[0-9a-fA-F]{0,16}"),
        ("-", ""),
        ("$", "0?x?[0-9a-fA-F]{0,16}"),
    ),
    like=re.compile(r"(?<![\w/])mem[0-9]{2,5}: ?[\[t]|range=\[0x"),
    type_of=_type_of,
    counted=True,
    about=_about,
)

# ShellPkg UefiShellDebug1CommandsLib MemMap.c: type, first and last byte, pages,
# attributes; names in short, an OEM's type as a number. With -sfo, comma separated.
_SHELL = PrintedForm(
    name="a UEFI shell memory map",
    signs=("# Pages", "Available ", "BS_Data", "BS_Code"),
    hints=("# Pages", "0000"),
    headline=re.compile(r"(?P<title>Type\s+Start\s+End\s+# Pages\s+Attributes)"),
    entry=re.compile(
        r"(?<![\w-])(?P<words>[A-Z][A-Za-z_]{2,24}|[0-9a-fA-F]{8})\s+"
        rf"(?P<addr>{HEX})-(?P<last>{HEX})\s+(?P<pages>[0-9a-fA-F]{{8,16}})\s+"
        rf"(?P<attributes>{HEX})"
    ),
    begun=begun_pattern(
        r"(?<![\w-])(?:[A-Z][A-Za-z_]{2,24}|[0-9a-fA-F]{8})\s+(?=[0-9A-F]{6})",
        *RANGE_BEGUN,
        ("[0-9a-fA-F]{8,16}", "[0-9a-fA-F]{0,16}"),
        ("$", HEX_BEGUN),
    ),
    like=re.compile(rf"{HEX}-{HEX}\s|-{HEX}\s+[0-9a-fA-F]{{8,16}}"),
    type_of=_type_of,
    about=_about,
)
_SHELL_SFO = replace(
    _SHELL,
    name="a UEFI shell memory map (-sfo)",
    signs=("MemoryMap,",),
    hints=("MemoryMap,", '","'),
    headline=None,
    entry=re.compile(
        r'MemoryMap,\s*"(?P<words>[A-Za-z_]{3,24})",\s*"(?P<addr>[0-9a-fA-F]{1,16})",\s*'
        r'"(?P<last>[0-9a-fA-F]{1,16})",\s*"(?P<pages>[0-9a-fA-F]{1,16})",\s*'
        r'"(?P<attributes>[0-9a-fA-F]{1,16})"'
    ),
    begun=begun_pattern("MemoryMap,", ("$", r'["A-Za-z0-9_, ]{0,90}')),
    like=re.compile(r'MemoryMap,|(?:"[0-9A-F]{1,16}",){2}"[0-9A-F]{1,16}"'),
)

# grub-core/commands/efi/lsefimmap.c: type, `first-last`, pages, size, attributes.
_GRUB = replace(
    _SHELL,
    name="GRUB's lsefimmap",
    signs=("Physical start", "conv-mem "),
    hints=("Physical start", "0000"),
    headline=re.compile(r"(?P<title>Type\s+Physical start\s+- end\s+#Pages)"),
    entry=re.compile(
        r"(?<![\w-])(?P<words>[A-Za-z][A-Za-z-]{2,12})\s+"
        rf"(?P<addr>{HEX})-(?P<last>{HEX})\s+(?P<pages>[0-9a-fA-F]{{8,16}})\s+"
        r"[0-9]+[KMGT]i?B(?P<attributes>(?:\s+[A-Z0-9]{2,4}(?![\w-]))*)"
    ),
    begun=begun_pattern(
        r"(?<![\w-])[A-Za-z][A-Za-z-]{2,12}\s+(?=[0-9a-fA-F]{6})",
        *RANGE_BEGUN,
        ("[0-9a-fA-F]{8,16}", "[0-9a-fA-F]{0,16}"),
        ("$", "[0-9]{0,12}[KMGT]?i?"),
    ),
)

EFI_FORMS = (_EFI_KERNEL, _SHELL, _SHELL_SFO, _GRUB)
"""The forms of an EFI memory map; :func:`as_e820` makes a table of one."""


def as_e820(printed: PrintedMap) -> PrintedMap:
    """Return the map with neighbours of one type joined, as the EFI stub joins them."""
    rows: list[Row] = []
    for addr, size, kind in printed.rows:
        if rows and rows[-1][2] == kind and rows[-1][0] + rows[-1][1] == addr:
            rows[-1] = (rows[-1][0], rows[-1][1] + size, kind)
        else:
            rows.append((addr, size, kind))
    return replace(printed, rows=rows)
