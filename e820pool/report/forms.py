"""A map as text for other programs, and what such a form cannot say of it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_PRAM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
)
from e820pool.errors import InputError
from e820pool.findings import Finding, counted
from e820pool.sources.oddities import note
from e820pool.sweep import distinct
from e820pool.type_words import (
    TYPE_WITHOUT_NUMBER,
    LogDialect,
    log_words,
    match_log_words,
    resource_name,
    type_of_resource,
    type_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.memory_map import MemoryMap
    from e820pool.range_lists import Row

__all__ = (
    "Form",
    "as_read_back",
    "c_source",
    "dmesg_text",
    "iomem_text",
    "losses",
    "memmap_notes",
    "memmap_option",
)

Form = Literal["2.4", "pre-3.5", "3.5", "7.0", "iomem", "memmap"]
"""The forms with words for types; the rest say a map as it is."""

_WRAP = 1 << 64

# What e820__print_table() and its forerunners are given, and what stands above
# (arch/x86/kernel/e820.c).
_BLOCKS = {
    "bios": ("BIOS-e820", "BIOS-provided"),
    "extended": ("extended", "extended"),
    "setup_data": ("reserve setup_data", "extended"),
    "user": ("user", "user-defined"),
    "modified": ("modified", "modified"),
}

_C_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

# parse_memmap_one(), arch/x86/kernel/e820.c: nn@ss, nn#ss, nn$ss; nn!ss since 4.1.
_MARKS = {
    E820_TYPE_RAM: "@",
    E820_TYPE_ACPI: "#",
    E820_TYPE_RESERVED: "$",
    E820_TYPE_PRAM: "!",
}

# MAX_MEMMAP_REGIONS, arch/x86/boot/compressed/kaslr.c, 4.14 to 7.3.
_KASLR_REGIONS = 4

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

_TYPES_SHOWN = 4


def dmesg_text(
    memory_map: MemoryMap, dialect: LogDialect = "3.5", block: str = "bios"
) -> str:
    """Return the headline and the lines of a kernel's log, without timestamps.

    Args:
        memory_map: printed entry by entry, in its order.
        dialect: one of ``e820pool.type_words.LOG_DIALECTS``.
        block: ``bios``, ``extended``, ``setup_data``, ``user`` or ``modified``.
    """
    who, name = _BLOCKS[block]
    lines, reach = [f"{name} physical RAM map:"], 0
    for addr, size, kind in memory_map.rows():
        words, end = log_words(kind, dialect), (addr + size) % _WRAP
        if dialect == "2.4":
            lines.append(f" {who}: {size:016x} @ {addr:016x} {words}")
        elif dialect == "pre-3.5":
            lines.append(f" {who}: {addr:016x} - {end:016x} {words}")
        elif dialect == "3.5":
            lines.append(f"{who}: {_log_range('mem', addr, end)} {words}")
        else:
            if addr < reach:
                lines.append("[Firmware Bug]: out of order E820 entry!")
            elif addr > reach:
                lines.append(f"{who}: {_log_range('gap', reach, addr)}")
            lines.append(f"{who}: {_log_range('mem', addr, end)}  {words}")
            reach = end
    return "\n".join(lines) + "\n"


def _log_range(label: str, addr: int, end: int) -> str:
    return f"[{label} 0x{addr:016x}-0x{(end - 1) % _WRAP:016x}]"


def iomem_text(memory_map: MemoryMap) -> str:
    """Return one line an entry, sorted, end inclusive (kernel/resource.c, r_show()).

    Resources never overlap and are never empty: a map whose entries do is
    flattened first. Only the map's own entries are written, no devices.

    Raises:
        InputError: entries overlap and one of them reaches 2^64.
    """
    rows = _sorted_rows(memory_map)
    if _has_overlap(rows):
        rows = _sorted_rows(memory_map.flatten())
    return "".join(
        f"{addr:08x}-{addr + size - 1:08x} : {resource_name(kind)}\n"
        for addr, size, kind in rows
    )


def _sorted_rows(memory_map: MemoryMap) -> list[Row]:
    return sorted(row for row in memory_map.rows() if row[1])


def _has_overlap(rows: list[Row]) -> bool:
    return any(lower[0] + lower[1] > upper[0] for lower, upper in pairwise(rows))


def c_source(memory_map: MemoryMap, name: str = "e820_map") -> str:
    """Return C that defines ``name[]`` and ``name_entries``.

    It compiles against <asm/bootparam.h> of the kernel's user-space headers.

    Raises:
        InputError: the map is empty, or ``name`` is no C identifier.
    """
    if not _C_NAME.fullmatch(name):
        raise InputError(f"{name[:80]!r} is no C identifier of at most 63 characters")
    if not len(memory_map):
        raise InputError("a map of 0 entries has no C array: it needs at least 1")
    rows = "".join(
        f"\t{{ .addr = 0x{addr:016x}ULL, .size = 0x{size:016x}ULL, "
        f".type = 0x{kind:x}U }}, /* {log_words(kind, '3.5')} */\n"
        for addr, size, kind in memory_map.rows()
    )
    # Nothing that a file's name may hold ends the comment or the line.
    origin = re.sub(r"[^\x20-\x7e]|\*/|\\|\?\?", "?", memory_map.origin)
    return (
        f"/* {origin or 'memory map'}: {counted(len(memory_map), 'entry')}; "
        "addr and size in bytes. */\n"
        "#include <asm/bootparam.h>\n\n"
        f"const struct boot_e820_entry {name}[] = {{\n{rows}}};\n\n"
        f"const unsigned int {name}_entries = sizeof({name}) / sizeof({name}[0]);\n"
    )


def memmap_option(memory_map: MemoryMap) -> str:
    """Return ``memmap=exactmap,..``: the whole map as one comma list.

    Types without a sign of their own are added as ``size%start+type``.
    """
    items = (
        f"{size:#x}{_MARKS[kind]}{addr:#x}"
        if kind in _MARKS
        else f"{size:#x}%{addr:#x}+{kind:#x}"
        for addr, size, kind in memory_map.rows()
        if size
    )
    return ",".join(("memmap=exactmap", *items))


def memmap_notes(memory_map: MemoryMap) -> tuple[Finding, ...]:
    """Return what kernels make of such an option that its reader may not expect."""
    from e820pool.handoff.model import COMMAND_LINE_SIZE  # noqa: PLC0415  construct

    notes = [_EXACTMAP, _KASLR]
    if any(kind not in _MARKS for _, _, kind in memory_map.rows()):
        notes.append(_PERCENT)
    length = len(memmap_option(memory_map))
    if length >= COMMAND_LINE_SIZE:
        too_long = Finding(
            id="command-line-too-long",
            level="degraded",
            message=f"the option has {length} bytes: a kernel reads "
            f"{COMMAND_LINE_SIZE - 1} of its command line",
            source="arch/x86/include/asm/setup.h, COMMAND_LINE_SIZE",
        )
        notes.insert(0, too_long)
    return tuple(notes)


def as_read_back(kind: int, form: Form) -> int:
    """Return which type a reader takes the form's word for ``kind`` for."""
    word = _word(kind, form)
    is_resource = form in ("iomem", "memmap")
    read = type_of_resource(word) if is_resource else match_log_words(word).kind
    return TYPE_WITHOUT_NUMBER if read is None else read


def losses(memory_map: MemoryMap, form: Form) -> tuple[Finding, ...]:
    """Return as notes what is lost when the map is written in ``form``."""
    return (*_types(memory_map, form), *_shape(memory_map, form))


def _types(memory_map: MemoryMap, form: Form) -> Iterator[Finding]:
    kinds = distinct(memory_map.entries["type"]).tolist()
    lost = [kind for kind in kinds if as_read_back(kind, form) != kind]
    for kind in lost[:_TYPES_SHOWN]:
        word = _word(kind, form)
        count = int((memory_map.entries["type"] == kind).sum())
        yield note(
            "type-lost",
            f"{counted(count, 'entry')} ({type_text(kind)}) written as {word!r}",
        )
    if len(lost) > _TYPES_SHOWN:
        more = len(lost) - _TYPES_SHOWN
        yield note("type-lost", f"and so are those of {more} more types")


def _word(kind: int, form: Form) -> str:
    if form == "iomem" or form == "memmap":  # noqa: PLR1714  mypy narrows by ==
        return resource_name(kind)
    return log_words(kind, form)


def _shape(memory_map: MemoryMap, form: Form) -> Iterator[Finding]:
    # Only a tree of resources has a shape of its own.
    if form != "iomem":
        return
    empty = int((memory_map.entries["size"] == 0).sum())
    if empty:
        yield note("empty-lost", f"{counted(empty, 'entry')} of size 0 left out")
    ordered = _sorted_rows(memory_map)
    if [row for row in memory_map.rows() if row[1]] != ordered:
        yield note("order-lost", "the entries are written sorted by address")
    if _has_overlap(ordered):
        yield note(
            "overlap-lost", "overlaps are resolved: where two meet, the higher type"
        )
