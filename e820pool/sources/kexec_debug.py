"""The lists that kexec prints: kexec-tools with -d, and kernels for kexec_file_load."""

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
)
from e820pool.sources.printed_map import PrintedForm, begun_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.sources.printed_map import PrintedMap

__all__ = ("KEXEC", "kexec_maps")

_HEX = "[0-9a-fA-F]{16}"
_PART = "[0-9a-fA-F]{0,15}"

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


def _type_of(match: re.Match[str]) -> int | None:
    kind = int(match["words"])
    return kind if kind < 1 << 32 else None


# kexec-tools 2.0.0 to 2.0.32 kexec/kexec.c dbgprint_mem_range() and
# kexec/arch/i386/x86-linux-setup.c add_e820_map_from_mr(); Linux 6.7 to 7.3
# arch/x86/kernel/kexec-bzimage64.c setup_boot_parameters(): all print
# `%016llx-%016llx (%d)` with the end inclusive. What follows the 128th entry stands
# under a headline of its own, and goes on with the list.
#: Lists of kexec -d and of kexec_file_load(2) with its debug output.
KEXEC = PrintedForm(
    name="a list that kexec printed",
    signs=("E820 memmap:", "MEMORY RANGES", " (1)", " (0)"),
    hints=("E820 memmap:", "MEMORY RANGES", "Memmap after ", "0000"),
    headline=re.compile(
        r"(?P<title>E820 memmap(?=:)|(?:CRASH )?MEMORY RANGES"
        r"|Memmap after (?:adding|deleting) segment):?"
    ),
    entry=re.compile(
        rf"(?<![0-9a-fA-F-])(?P<addr>{_HEX})-(?P<last>{_HEX})\s*"
        r"\((?P<words>[0-9]{1,10})\)"
    ),
    begun=begun_pattern(
        rf"(?:(?<![0-9a-zA-Z-])(?={_HEX}\s*(?:-|$)|0[0-9a-fA-F]{{6,14}}$)"
        r"|(?:^|(?<=[\]>|] ))(?=0[0-9a-fA-F]{0,14}$))",
        (_HEX, _PART),
        ("-", ""),
        (_HEX, _PART),
        ("$", r"\(?[0-9]{0,10}"),
    ),
    like=re.compile(
        rf"[0-9a-fA-F]{{4,16}}-{_HEX} ?\([0-9]|{_HEX}-[0-9a-fA-F]{{4,16}} ?\([0-9]"
        rf"|(?<![0-9a-fA-F]){_HEX}-(?!{_HEX} : )"
    ),
    type_of=_type_of,
)


def kexec_maps(maps: Sequence[PrintedMap]) -> tuple[list[PrintedMap], list[PrintedMap]]:
    """Return the lists that show a machine's map, the best first, and the others.

    The table that is handed on (``E820 memmap``) comes first, unless what was loaded is
    a capture kernel: then it is that kernel's, and MEMORY RANGES are the machine's.
    """
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
