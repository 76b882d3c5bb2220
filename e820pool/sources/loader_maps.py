"""The maps that firmware and loaders print: SeaBIOS, coreboot, GRUB, FreeBSD."""

from __future__ import annotations

import re
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
from e820pool.sources.printed_map import PrintedForm, begun_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("COREBOOT", "FREEBSD", "GRUB", "SEABIOS")

_HEX = "[0-9a-fA-F]{16}"
_PART = "[0-9a-fA-F]{0,15}"


def _number_in(group: str, base: int) -> Callable[[re.Match[str]], int | None]:
    def type_of(match: re.Match[str]) -> int | None:
        kind = int(match[group], base)
        return kind if kind < 1 << 32 else None

    return type_of


# src/e820map.c dump_map(), 1.6.0 to 1.16: the end is exclusive, and the number decides,
# since every type without a name is UNKNOWN.
#: The map that SeaBIOS prints.
SEABIOS = PrintedForm(
    name="SeaBIOS's e820 map",
    signs=("e820 map has", "= 1 RAM", "= 2 RESERVED"),
    hints=("e820 map has", "0000"),
    headline=re.compile(r"(?P<title>e820 map has (?P<count>[0-9]{1,5}) items):?"),
    entry=re.compile(
        rf"(?<![0-9])(?P<number>[0-9]{{1,5}}): (?P<start>{_HEX}) ?- ?(?P<end>{_HEX}) ?="
        r" ?(?P<words>[0-9]{1,10}) ?(?:RAM|RESERVED|ACPI|NVS|UNUSABLE|UNKNOWN)\b"
    ),
    begun=begun_pattern(
        r"(?<![\w:])[0-9]{1,5}:",
        (_HEX, _PART),
        ("-", ""),
        (_HEX, _PART),
        ("=", ""),
        ("$", r"[0-9]{0,10} ?[A-Z]{0,10}"),
    ),
    like=re.compile(
        rf"[0-9]: {_HEX} -|- {_HEX} = [0-9]|= [0-9]{{1,10}} (?:RAM|RESERVED)\b"
    ),
    type_of=_number_in("words", 10),
    counted=True,
)

# src/lib/bootmem.c bootmem_dump_ranges(), 4.0 to 24.x: the last byte is inclusive. What
# coreboot itself and its payload occupy is RAM in the table that an OS gets; its tables
# are reserved there (SeaBIOS src/fw/coreboot.c, coreboot_preinit()).
_COREBOOT_TYPES = {
    "RAM": E820_TYPE_RAM,
    "RAMSTAGE": E820_TYPE_RAM,
    "PAYLOAD": E820_TYPE_RAM,
    "RESERVED": E820_TYPE_RESERVED,
    "VENDOR RESERVED": E820_TYPE_RESERVED,
    "CONFIGURATION TABLES": E820_TYPE_RESERVED,
    "ACPI": E820_TYPE_ACPI,
    "NVS": E820_TYPE_NVS,
    "UNUSABLE": E820_TYPE_UNUSABLE,
    "SOFT RESERVED": E820_TYPE_SOFT_RESERVED,
}


def _coreboot_type(match: re.Match[str]) -> int | None:
    return _COREBOOT_TYPES.get(" ".join(match["words"].split()))


#: The table that coreboot prints.
COREBOOT = PrintedForm(
    name="coreboot's memory table",
    signs=("oreboot memory table", "coreboot table at", ": RAM", ": RESERVED"),
    hints=("oreboot memory table", "coreboot table at", "0000"),
    headline=re.compile(
        r"(?P<title>[Cc]oreboot memory table|Writing coreboot table at 0x[0-9a-f]+)"
    ),
    entry=re.compile(
        rf"(?<![0-9.])(?P<number>[0-9]{{1,4}})\. ?(?P<addr>{_HEX})-(?P<last>{_HEX}):\s*"
        r"(?P<words>VENDOR\s+RESERVED|SOFT\s+RESERVED|CONFIGURATION\s+TABLES"
        r"|[A-Z]{3,16}!?)"
    ),
    begun=begun_pattern(
        r"(?<![0-9a-zA-Z.])[0-9]{1,4}\.(?=\s*$|\s*[0-9a-f]{3})",
        (_HEX, _PART),
        ("-", ""),
        (_HEX, _PART),
        (":", ""),
        ("$", "[A-Z ]{0,20}"),
    ),
    like=re.compile(
        rf"(?<![0-9])[0-9]{{1,4}}\. {_HEX}-|{_HEX}-{_HEX}: [A-Z]|-{_HEX}: [A-Z]{{2}}"
    ),
    type_of=_coreboot_type,
    counted=True,
)

# grub-core/commands/lsmmap.c, 1.98 to 2.12; include/grub/memory.h has the numbers. To
# 1.99 it said "available", since then "available RAM"; a type without a name is
# `type = 0x..`, which is the firmware's own number.
_GRUB_TYPES = {
    "available": E820_TYPE_RAM,
    "reserved": E820_TYPE_RESERVED,
    "ACPI reclaimable": E820_TYPE_ACPI,
    "ACPI reclamaible": E820_TYPE_ACPI,
    "NVS": E820_TYPE_NVS,
    "ACPI non-volatile storage": E820_TYPE_NVS,
    "BadRAM": E820_TYPE_UNUSABLE,
    "faulty RAM (BadRAM)": E820_TYPE_UNUSABLE,
    "persistent": E820_TYPE_PMEM,
    "persistent RAM (legacy)": E820_TYPE_PRAM,
    "RAM holding coreboot tables": E820_TYPE_RESERVED,
    "RAM holding firmware code": E820_TYPE_RESERVED,
    "firmware code": E820_TYPE_RESERVED,
}


def _grub_type(match: re.Match[str]) -> int | None:
    words = " ".join(match["words"].split())
    if words.startswith("type"):
        kind = int(words.rpartition("0x")[2], 16)
        return kind if 0 < kind < 1 << 32 else None
    return _GRUB_TYPES.get(words, _GRUB_TYPES.get(words.removesuffix(" RAM")))


#: What GRUB's lsmmap prints.
GRUB = PrintedForm(
    name="GRUB's lsmmap",
    signs=("base_addr",),
    hints=("base_a", "length = 0x"),
    entry=re.compile(
        r"base_addr ?= ?0x(?P<addr>[0-9a-fA-F]{1,16}),\s*length ?= ?"
        r"0x(?P<size>[0-9a-fA-F]{1,16}),\s*(?P<words>type ?= ?0x[0-9a-fA-F]{1,8}"
        r"|faulty\s+RAM\s+\(BadRAM\)|persistent\s+RAM\s+\(legacy\)"
        r"|RAM\s+holding\s+(?:coreboot\s+tables|firmware\s+code)|firmware\s+code"
        r"|ACPI\s+(?:reclai?mai?ble|non-volatile\s+storage)(?:\s+RAM)?"
        r"|(?:available|reserved|persistent)(?:\s+RAM)?|NVS|BadRAM"
        r"|[A-Za-z][A-Za-z() -]{0,40}?(?=\s*(?:$|base_addr)))"
    ),
    begun=begun_pattern(
        r"base_add?r?",
        ("=", ""),
        ("0x[0-9a-fA-F]{1,16}", "0?x?[0-9a-fA-F]{0,16}"),
        (",", ""),
        ("length", "l?e?n?g?t?h?"),
        ("=", ""),
        ("0x[0-9a-fA-F]{1,16}", "0?x?[0-9a-fA-F]{0,16}"),
        (",", ""),
        ("$", "[A-Za-z][A-Za-z()=0-9 -]{0,40}"),
    ),
    like=re.compile(r"base_addr|length = 0x[0-9a-f]{1,16}, ?[a-zA-Z]"),
    type_of=_grub_type,
)

# sys/amd64/amd64/machdep.c and sys/i386/i386/machdep.c add_smap_entry() (boot -v), and
# the loader's `smap` (stand/i386/libi386/biossmap.c), which adds ` attr=..`; the type
# is the firmware's own number, in hexadecimal.
#: Lines that FreeBSD prints of its SMAP.
FREEBSD = PrintedForm(
    name="FreeBSD's SMAP",
    signs=("SMAP type",),
    hints=("SMAP", "base=0"),
    entry=re.compile(
        rf"SMAP type=(?P<words>[0-9a-fA-F]{{2,8}})\s+base=(?P<addr>{_HEX})\s+"
        rf"len=(?P<size>{_HEX})"
    ),
    begun=begun_pattern(
        "SMAP",
        ("type=", "t?y?p?e?"),
        ("[0-9a-fA-F]{2,8}", "[0-9a-fA-F]?"),
        ("base=", "b?a?s?e?"),
        (_HEX, _PART),
        ("len=", "l?e?n?"),
        ("$", _PART),
    ),
    like=re.compile(r"SMAP type|(?:type=[0-9a-f]{2} base|base=[0-9a-f]{1,16} len)="),
    type_of=_number_in("words", 16),
)
