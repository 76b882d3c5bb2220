"""The maps that Xen prints of the machine, and that SUSE's kernel prints in dom0."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from e820pool.findings import counted
from e820pool.sources.oddities import note
from e820pool.sources.printed_map import PrintedForm, begun_pattern
from e820pool.type_words import match_log_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.findings import Finding
    from e820pool.sources.printed_map import PrintedMap

__all__ = ("SUSE_BIOS", "XEN", "pseudo_physical")

_HEX = "[0-9a-fA-F]{16}"
_PART = "[0-9a-fA-F]{0,15}"
# Before a range: no words, such as the name of a kernel's map or a node of the SRAT.
_OLD = r"(?:^|(?<=[)\]|*#])|(?<=^>)|(?<=[^-]>)|(?<=kernel:))\s*"
_WORDS = r"(?P<words>\([A-Za-z ]{1,20}\)|type [0-9]{1,10})"
_WORDS_BEGUN = r"(?:\(?[A-Za-z ]{0,20}|type ?)"


def _type_of(match: re.Match[str]) -> int | None:
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
#: Maps of the machine that Xen prints.
XEN = PrintedForm(
    name="Xen's map of the machine",
    signs=(
        *("-e820 RAM map", "-e801 RAM map", "EFI RAM map", "TBOOT RAM map"),
        *("VMM RAM map", "-88 RAM map", "(XEN) ", ", 00000000", " - 00000000"),
    ),
    hints=(" RAM map", "0000"),
    headline=re.compile(
        r"(?<![\w-])(?P<title>(?:Initial )?(?:[A-Z][A-Za-z0-9]{1,12}-(?:e820|e801|88)"
        r"|EFI|TBOOT|VMM) RAM map):?"
    ),
    entry=re.compile(
        rf"(?:(?:{_OLD})?\[(?P<addr>{_HEX}),\s*(?P<last>{_HEX})\]"
        rf"|{_OLD}(?P<start>{_HEX})\s*-\s*(?P<end>{_HEX})(?![0-9a-f]))\s*{_WORDS}"
    ),
    begun=begun_pattern(
        rf"(?:{_OLD}\[(?=(?:{_PART}|{_HEX})\s*$|{_HEX},)|{_OLD}(?={_HEX}\s*(?:-|$)|0[0-9a-f]{{0,15}}$))",
        (_HEX, _PART),
        ("[,-]", "[,-]?"),
        (_HEX, _PART),
        (r"\]?", ""),
        (r"$", _WORDS_BEGUN),
    ),
    like=re.compile(
        rf"{_OLD}\[{_HEX},|, ?{_HEX}\] ?[(t]"
        r"|\[[0-9a-fA-F]{1,16}, [0-9a-fA-F]{1,16}\] ?[(t]"
        rf"|{_OLD}{_HEX} -|(?<!: )(?<![0-9a-f])[0-9a-f]{{1,16}} - {_HEX} ?[(t]"
    ),
    type_of=_type_of,
    is_machine=True,
    about=_about_initial,
)

# SUSE's kernel-xen, arch/x86/kernel/e820-xen.c setup_memory_map(): dom0 prints the
# machine's map under this headline, each line as of a "BIOS"; then its own as "Xen".
#: The machine's map in the log of SUSE's dom0.
SUSE_BIOS = PrintedForm(
    name="the machine's map in the log of a Xen dom0",
    signs=("Xen-provided machine memory map", " BIOS: "),
    hints=("Xen-provided machine memory map", " BIOS: "),
    headline=re.compile(r"(?P<title>Xen-provided machine memory map):?"),
    entry=re.compile(
        r"(?<![\w-])BIOS: {0,4}(?:\[mem 0x(?P<addr>[0-9a-fA-F]{1,16})-"
        r"0x(?P<last>[0-9a-fA-F]{1,16})\]"
        rf"|(?P<start>{_HEX}) - (?P<end>{_HEX}))"
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
    type_of=_type_of,
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
