"""The maps that other programs than a Linux kernel print, and which of them to read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import starmap
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
from e820pool.errors import BadImageError
from e820pool.findings import counted
from e820pool.sources.efi_text import EFI_FORMS, as_e820
from e820pool.sources.firmware_memmap import MEMMAP_SCRIPT
from e820pool.sources.log_text import clean_lines
from e820pool.sources.oddities import note
from e820pool.sources.printed_map import (
    BARE_START,
    HEX,
    HEX_BEGUN,
    RANGE_BEGUN,
    PrintedForm,
    PrintedMap,
    begun_pattern,
    choose_map,
    map_of_printed,
    printed_maps,
)
from e820pool.type_words import match_log_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from e820pool.findings import Finding
    from e820pool.memory_map import MemoryMap
    from e820pool.sources.log_text import Piece


__all__ = (
    "PrintedLists",
    "printed_lists",
    "pseudo_physical",
)


def _number_in(group: str, base: int) -> Callable[[re.Match[str]], int | None]:
    def type_of(match: re.Match[str]) -> int | None:
        kind = int(match[group], base)
        return kind if kind < 1 << 32 else None

    return type_of


# src/e820map.c dump_map(), 1.6.0 to 1.16: the end is exclusive, and the number decides,
# since every type without a name is UNKNOWN.
_SEABIOS = PrintedForm(
    name="SeaBIOS's e820 map",
    signs=("e820 map has", "= 1 RAM", "= 2 RESERVED"),
    hints=("e820 map has", "0000"),
    headline=re.compile(r"(?P<title>e820 map has (?P<count>[0-9]{1,5}) items):?"),
    entry=re.compile(
        rf"(?<![0-9])(?P<number>[0-9]{{1,5}}): (?P<start>{HEX}) ?- ?(?P<end>{HEX}) ?="
        r" ?(?P<words>[0-9]{1,10}) ?(?:RAM|RESERVED|ACPI|NVS|UNUSABLE|UNKNOWN)\b"
    ),
    begun=begun_pattern(
        r"(?<![\w:])[0-9]{1,5}:",
        *RANGE_BEGUN,
        ("=", ""),
        ("$", r"[0-9]{0,10} ?[A-Z]{0,10}"),
    ),
    like=re.compile(
        rf"[0-9]: {HEX} -|- {HEX} = [0-9]|= [0-9]{{1,10}} (?:RAM|RESERVED)\b"
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


_COREBOOT = PrintedForm(
    name="coreboot's memory table",
    signs=("oreboot memory table", "coreboot table at", ": RAM", ": RESERVED"),
    hints=("oreboot memory table", "coreboot table at", "0000"),
    headline=re.compile(
        r"(?P<title>[Cc]oreboot memory table|Writing coreboot table at 0x[0-9a-f]+)"
    ),
    entry=re.compile(
        rf"(?<![0-9.])(?P<number>[0-9]{{1,4}})\. ?(?P<addr>{HEX})-(?P<last>{HEX}):\s*"
        r"(?P<words>VENDOR\s+RESERVED|SOFT\s+RESERVED|CONFIGURATION\s+TABLES"
        r"|[A-Z]{3,16}!?)"
    ),
    begun=begun_pattern(
        r"(?<![0-9a-zA-Z.])[0-9]{1,4}\.(?=\s*$|\s*[0-9a-f]{3})",
        *RANGE_BEGUN,
        (":", ""),
        ("$", "[A-Z ]{0,20}"),
    ),
    like=re.compile(
        rf"(?<![0-9])[0-9]{{1,4}}\. {HEX}-|{HEX}-{HEX}: [A-Z]|-{HEX}: [A-Z]{{2}}"
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


_GRUB = PrintedForm(
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
_FREEBSD = PrintedForm(
    name="FreeBSD's SMAP",
    signs=("SMAP type",),
    hints=("SMAP", "base=0"),
    entry=re.compile(
        rf"SMAP type=(?P<words>[0-9a-fA-F]{{2,8}})\s+base=(?P<addr>{HEX})\s+"
        rf"len=(?P<size>{HEX})"
    ),
    begun=begun_pattern(
        "SMAP",
        ("type=", "t?y?p?e?"),
        ("[0-9a-fA-F]{2,8}", "[0-9a-fA-F]?"),
        ("base=", "b?a?s?e?"),
        (HEX, HEX_BEGUN),
        ("len=", "l?e?n?"),
        ("$", HEX_BEGUN),
    ),
    like=re.compile(r"SMAP type|(?:type=[0-9a-f]{2} base|base=[0-9a-f]{1,16} len)="),
    type_of=_number_in("words", 16),
)


# kexec/kexec.h: the numbers of a memory_range, which are not those of the e820 table.
_RANGE_TYPES = {
    0: E820_TYPE_RAM,
    1: E820_TYPE_RESERVED,
    2: E820_TYPE_ACPI,
    3: E820_TYPE_NVS,
    4: E820_TYPE_RESERVED,
    6: E820_TYPE_PMEM,
    11: E820_TYPE_PRAM,
}
_TABLE = "E820 memmap"
_RANGES = "MEMORY RANGES"


# kexec-tools 2.0.0 to 2.0.32 kexec/kexec.c dbgprint_mem_range() and
# kexec/arch/i386/x86-linux-setup.c add_e820_map_from_mr(); Linux 6.7 to 7.3
# arch/x86/kernel/kexec-bzimage64.c setup_boot_parameters(): all print
# `%016llx-%016llx (%d)` with the end inclusive. What follows the 128th entry stands
# under a headline of its own, and goes on with the list.
_KEXEC = PrintedForm(
    name="a list that kexec printed",
    signs=("E820 memmap:", "MEMORY RANGES", " (1)", " (0)"),
    hints=("E820 memmap:", "MEMORY RANGES", "Memmap after ", "0000"),
    headline=re.compile(
        r"(?P<title>E820 memmap(?=:)|(?:CRASH )?MEMORY RANGES"
        r"|Memmap after (?:adding|deleting) segment):?"
    ),
    entry=re.compile(
        rf"(?<![0-9a-fA-F-])(?P<addr>{HEX})-(?P<last>{HEX})\s*"
        r"\((?P<words>[0-9]{1,10})\)"
    ),
    begun=begun_pattern(
        BARE_START,
        *RANGE_BEGUN,
        ("$", r"\(?[0-9]{0,10}"),
    ),
    like=re.compile(
        rf"[0-9a-fA-F]{{4,16}}-{HEX} ?\([0-9]|{HEX}-[0-9a-fA-F]{{4,16}} ?\([0-9]"
        rf"|(?<![0-9a-fA-F]){HEX}-(?!{HEX} : )"
    ),
    type_of=_number_in("words", 10),
)


# The lists that show a machine's map, the best first, and the others: the table that is
# handed on (``E820 memmap``) comes first, unless what was loaded is a capture kernel:
# then it is that kernel's, and MEMORY RANGES are the machine's.
def _kexec_maps(
    maps: Sequence[PrintedMap],
) -> tuple[list[PrintedMap], list[PrintedMap]]:
    for printed in maps:
        _say_types(printed)
    is_capture = any(p.title.startswith(("CRASH", "Memmap after")) for p in maps)
    tables, ranges, bare = (
        [printed for printed in maps if printed.title == title]
        for title in (_TABLE, _RANGES, "")
    )
    best = ranges if is_capture and ranges else tables or ranges or bare
    return best, [printed for printed in maps if printed not in best]


# Without a headline a 0 tells: no e820 table has it, and each list of ranges has.
def _say_types(printed: PrintedMap) -> None:
    kinds = {kind for _, _, kind in printed.rows}
    if not printed.title.endswith("RANGES") and (printed.title or 0 not in kinds):
        return
    printed.odd_words += [
        (f"({kind})", printed.first_line)
        for _, _, kind in printed.rows
        if kind not in _RANGE_TYPES
    ]
    printed.rows[:] = [
        (addr, size, _RANGE_TYPES.get(kind, E820_TYPE_RESERVED))
        for addr, size, kind in printed.rows
    ]


# Before a range: no words, such as the name of a kernel's map or a node of the SRAT.
_XEN_OLD = r"(?:^|(?<=[)\]|*#])|(?<=^>)|(?<=[^-]>)|(?<=kernel:))\s*"
_XEN_WORDS = r"(?P<words>\([A-Za-z ]{1,20}\)|type [0-9]{1,10})"
_XEN_WORDS_BEGUN = r"(?:\(?[A-Za-z ]{0,20}|type ?)"


def _xen_type(match: re.Match[str]) -> int | None:
    return match_log_words(match["words"]).kind


def _about_initial(printed: PrintedMap) -> Iterator[Finding]:
    if printed.title.startswith("Initial"):
        yield note(
            "xen-initial-map",
            "this is the map as the firmware gave it, before Xen resolved its overlaps "
            "and clipped it",
        )


# xen/arch/x86/e820.c, print_e820_memory_map(): `START - END` with the end exclusive to
# 4.12, `[START, LAST]` with it inclusive since 4.13. The headline is init_e820()'s:
# Xen-e820, Xen-e801, Multiboot-e820, EFI, TBOOT, PVH-e820; with e820-verbose an
# "Initial" map stands before it.
_XEN = PrintedForm(
    name="Xen's map of the machine",
    signs=(
        *("-e820 RAM map", "-e801 RAM map", "EFI RAM map", "TBOOT RAM map"),
        *("VMM RAM map", "-88 RAM map", "(_XEN) ", ", 00000000", " - 00000000"),
    ),
    hints=(" RAM map", "0000"),
    headline=re.compile(
        r"(?<![\w-])(?P<title>(?:Initial )?(?:[A-Z][A-Za-z0-9]{1,12}-(?:e820|e801|88)"
        r"|EFI|TBOOT|VMM) RAM map):?"
    ),
    entry=re.compile(
        rf"(?:(?:{_XEN_OLD})?\[(?P<addr>{HEX}),\s*(?P<last>{HEX})\]"
        rf"|{_XEN_OLD}(?P<start>{HEX})\s*-\s*(?P<end>{HEX})(?![0-9a-f]))\s*{_XEN_WORDS}"
    ),
    begun=begun_pattern(
        rf"(?:{_XEN_OLD}\[(?=(?:{HEX_BEGUN}|{HEX})\s*$|{HEX},)|{_XEN_OLD}(?={HEX}\s*(?:-|$)|0[0-9a-f]{{0,15}}$))",
        (HEX, HEX_BEGUN),
        ("[,-]", "[,-]?"),
        (HEX, HEX_BEGUN),
        (r"\]?", ""),
        (r"$", _XEN_WORDS_BEGUN),
    ),
    like=re.compile(
        rf"{_XEN_OLD}\[{HEX},|, ?{HEX}\] ?[(t]"
        r"|\[[0-9a-fA-F]{1,16}, [0-9a-fA-F]{1,16}\] ?[(t]"
        rf"|{_XEN_OLD}{HEX} -|(?<!: )(?<![0-9a-f])[0-9a-f]{{1,16}} - {HEX} ?[(t]"
    ),
    type_of=_xen_type,
    is_machine=True,
    about=_about_initial,
)

# SUSE's kernel-xen, arch/x86/kernel/e820-xen.c setup_memory_map(): dom0 prints the
# machine's map under this headline, each line as of a "BIOS"; then its own as "Xen".
#: The machine's map in the log of SUSE's dom0.
_SUSE_BIOS = PrintedForm(
    name="the machine's map in the log of a Xen dom0",
    signs=("Xen-provided machine memory map", " BIOS: "),
    hints=("Xen-provided machine memory map", " BIOS: "),
    headline=re.compile(r"(?P<title>Xen-provided machine memory map):?"),
    entry=re.compile(
        r"(?<![\w-])BIOS: {0,4}(?:\[mem 0x(?P<addr>[0-9a-fA-F]{1,16})-"
        r"0x(?P<last>[0-9a-fA-F]{1,16})\]"
        rf"|(?P<start>{HEX}) - (?P<end>{HEX}))"
        r"\s*(?P<words>\(?(?:usable|reserved|unusable|ACPI data|ACPI NVS|soft reserved|"
        r"persistent \(type [0-9]{1,2}\)|type [0-9]{1,10})\)?)"
    ),
    begun=begun_pattern(
        r"(?<![\w-])BIOS: {0,4}(?=\[|[0-9a-f]{4})",
        (r"\[mem 0x|", r"\[?m?e?m? ?0?x?"),
        ("[0-9a-fA-F]{1,16}", "[0-9a-fA-F]{0,16}"),
        ("- ?(?:0x)?", "-? ?0?x?"),
        ("[0-9a-fA-F]{1,16}", "[0-9a-fA-F]{0,16}"),
        (r"\]?", ""),
        ("$", r"\(?[A-Za-z() ]{0,20}"),
    ),
    like=re.compile(
        r"(?<![\w-])BIOS: {0,4}(?:\[mem |[0-9a-f]{8,16} ?-)"
        r"|(?<!Xen: )(?<!e820: )(?<!user: )(?<!fied: )(?<!date )(?<!move )(?<!from )"
        r"\[mem 0x[0-9a-f]{8,16}-0x[0-9a-f]{8,16}\] (?:usable|reserved|ACPI|unus|type)"
    ),
    type_of=_xen_type,
    is_machine=True,
)


def pseudo_physical(entries: int, machine: PrintedMap | None = None) -> Finding:
    """Return the note that a map is the one of a Xen PV domain.

    Linux 2.6.26 to 7.3 ``arch/x86/xen/setup.c`` xen_memory_setup() calls it "Xen". Its
    RAM is numbered by the domain's own page frames, which lie elsewhere in the machine.

    Args:
        entries: how many the domain's map has.
        machine: the machine's, which the same text has and which was read.
    """
    if machine is not None:
        advice = f": read was {machine}; --block bios reads the domain's"
    else:
        advice = (
            ", which only the hypervisor prints: give the output of `xl dmesg` "
            "(Xen-e820 RAM map)"
        )
    return note(
        "pseudo-physical",
        f"the kernel's map ('Xen:', {counted(entries, 'entry')}) is the "
        f"pseudo-physical one of a Xen PV domain and not the machine's{advice}",
    )


# The best first: what shows the machine where a kernel's log does not, then the tables
# that were handed on, then firmware's and loaders'.
_FORMS = (
    *(_XEN, _SUSE_BIOS, _KEXEC, MEMMAP_SCRIPT, _SEABIOS, _COREBOOT, _GRUB, _FREEBSD),
    *EFI_FORMS,
)
_OTHERS_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedLists:
    """The maps that a text has in forms other than a kernel's log.

    Attributes:
        chosen: the one to read, None if there is none.
        notes: which of several of its form it is.
        others: the others, the best first.
    """

    chosen: PrintedMap | None = None
    notes: tuple[Finding, ...] = ()
    others: tuple[PrintedMap, ...] = ()

    @property
    def is_machine(self) -> bool:
        """Return whether it is the machine's, and a kernel's beside it is not."""
        return self.chosen is not None and self.chosen.form.is_machine

    def read(self, origin: str) -> MemoryMap:
        """Return the chosen map; BadImageError if it has no whole entry."""
        if self.chosen is None:
            raise BadImageError(f"{origin!r} has no printed map")
        chosen = map_of_printed(self.chosen, origin)
        return replace(chosen, notes=(*self.notes, *chosen.notes, *self.named()))

    def named(self, *, all_of_them: bool = False) -> Iterator[Finding]:
        """Yield the note that names the maps of the text that are not read."""
        first = (self.chosen,) if all_of_them and self.chosen is not None else ()
        # "efi: Remove mem25" speaks of a list, and is none.
        others = [printed for printed in (*first, *self.others) if printed.rows]
        if others:
            shown = "; ".join(map(str, others[:_OTHERS_SHOWN]))
            more = f" and {len(others) - _OTHERS_SHOWN} more" * (
                len(others) > _OTHERS_SHOWN
            )
            yield note("other-maps", f"the text also has {shown}{more}: not read")


def printed_lists(text: str, pieces: Iterable[Piece] | None = None) -> PrintedLists:
    """Return the maps that a text has in any of the forms that are known here.

    Args:
        text: all of it.
        pieces: the same with the numbers of its lines, where they do not count from 1.
    """
    forms = [form for form in _FORMS if any(sign in text for sign in form.signs)]
    if not forms:
        return PrintedLists()
    maps = printed_maps(clean_lines(text if pieces is None else pieces), forms)
    of_forms = ((form, [m for m in maps if m.form is form]) for form in forms)
    groups = [group for group in starmap(_best_of, of_forms) if group[0]]
    if not groups:
        return PrintedLists()
    # A form of which a text has only broken lines comes after one with entries.
    groups.sort(key=lambda group: not any(printed.rows for printed in group[0]))
    chosen, notes = choose_map(groups[0][0])
    others = [*groups[0][1], *(choose_map(best)[0] for best, _ in groups[1:])]
    return PrintedLists(chosen=chosen, notes=tuple(notes), others=tuple(others))


def _best_of(
    form: PrintedForm, maps: Sequence[PrintedMap]
) -> tuple[list[PrintedMap], list[PrintedMap]]:
    # The maps of which one is to be read, and those that are something else.
    if form is _KEXEC:
        return _kexec_maps(maps)
    if form is _XEN:
        final = [m for m in maps if not m.title.startswith("Initial")]
        return final or list(maps), [m for m in maps if final and m not in final]
    if form in EFI_FORMS:
        return [as_e820(printed) for printed in maps], []
    return list(maps), []
