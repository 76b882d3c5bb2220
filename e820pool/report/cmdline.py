"""A map as memmap= options for the kernel's command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_PRAM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
)
from e820pool.findings import Finding
from e820pool.handoff.model import COMMAND_LINE_SIZE

if TYPE_CHECKING:
    from e820pool.memory_map import MemoryMap

__all__ = ("memmap_notes", "memmap_option")

# parse_memmap_one(), arch/x86/kernel/e820.c: nn@ss, nn#ss, nn$ss; nn!ss since 4.1.
_MARKS = {
    E820_TYPE_RAM: "@",
    E820_TYPE_ACPI: "#",
    E820_TYPE_RESERVED: "$",
    E820_TYPE_PRAM: "!",
}

# MAX_MEMMAP_REGIONS, arch/x86/boot/compressed/kaslr.c, 4.14 to 7.3.
_KASLR_REGIONS = 4


def memmap_option(memory_map: MemoryMap) -> str:
    """Return ``memmap=exactmap,..``: the whole map as one comma list.

    Types without a sign of their own are added as ``size%start+type``.
    """
    items = (_item(addr, size, kind) for addr, size, kind in memory_map.rows() if size)
    return ",".join(("memmap=exactmap", *items))


def memmap_notes(memory_map: MemoryMap) -> tuple[Finding, ...]:
    """Return what kernels make of such an option that its reader may not expect."""
    notes = [_EXACTMAP, _KASLR]
    if any(kind not in _MARKS for _, _, kind in memory_map.rows()):
        notes.append(_PERCENT)
    length = len(memmap_option(memory_map))
    if length >= COMMAND_LINE_SIZE:
        notes.insert(0, _too_long(length))
    return tuple(notes)


def _item(addr: int, size: int, kind: int) -> str:
    mark = _MARKS.get(kind)
    return f"{size:#x}{mark or '%'}{addr:#x}" + ("" if mark else f"+{kind:#x}")


def _too_long(length: int) -> Finding:
    message = (
        f"the option has {length} bytes: a kernel reads {COMMAND_LINE_SIZE - 1} of its "
        "command line"
    )
    source = "arch/x86/include/asm/setup.h, COMMAND_LINE_SIZE"
    return Finding(
        id="command-line-too-long", level="degraded", message=message, source=source
    )


_PARSER = "arch/x86/kernel/e820.c, parse_memmap_one()"
_EXACTMAP = Finding(
    id="memmap-exactmap",
    level="note",
    message="exactmap throws the firmware's map away, with all that is RESERVED in it "
    "and not repeated here; lists with commas need 3.10 or later",
    source=_PARSER,
)
_KASLR = Finding(
    id="memmap-kaslr",
    level="note",
    message="the decompressor stops reading a list at exactmap, so that KASLR does not "
    f"see it, and sees at most {_KASLR_REGIONS} memmap= regions at all: add nokaslr",
    source="arch/x86/boot/compressed/kaslr.c, mem_avoid_memmap(), 4.14 to 7.3",
)
_PERCENT = Finding(
    id="memmap-percent",
    level="note",
    message="entries as size%start+type need 4.19 or later: older kernels ignore them",
    source=_PARSER,
)
