"""Read a memory map from the text of /proc/iomem."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError
from e820pool.memory_map import MemoryMap
from e820pool.sources.oddities import note
from e820pool.type_words import type_of_resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.findings import Finding

__all__ = ("looks_like_iomem", "named_ranges", "read_iomem")

_LINE = re.compile(
    r"^(?P<before>[ \t>|#*]*)(?P<first>[0-9a-f]{4,16})-(?P<last>[0-9a-f]{4,16}) : "
    r"(?P<name>[^\r\n]{1,200})",
    re.MULTILINE,
)
# Where a driver has taken a range in use as RAM, it adds its name in parentheses
# (mm/memory_hotplug.c, add_memory_driver_managed(), 5.8 to 7.3).
_DRIVER_RAM = "System RAM ("

# IOAPIC_DEFAULT_PHYS_BASE: on a PC some line is always at or above it.
_LAST_EXPECTED = 0xFEC0_0000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    # One line: bytes first to last, both inclusive; indent in columns.
    indent: int
    first: int
    last: int
    name: str

    @property
    def kind(self) -> int | None:
        return type_of_resource(self.name)

    def holds(self, other: _Line) -> bool:
        return self.first <= other.first and other.last <= self.last

    def __str__(self) -> str:
        return f"[mem {self.first:#x}-{self.last:#x}] {self.name!r}"


def looks_like_iomem(text: str) -> bool:
    """Return whether the text has a line of the form of /proc/iomem."""
    return _LINE.search(text) is not None


def read_iomem(text: str, *, origin: str = "") -> MemoryMap:
    """Return the map that the lines with an e820 name form.

    Nesting is taken from the addresses, so that a file whose indentation was lost
    reads the same. A range inside one of the same name adds nothing and is left
    out; RAM that a driver added to the running kernel is no part of the firmware's
    map. Which names a kernel gives is e820_type_to_string() (arch/x86/kernel/e820.c);
    to 4.11 it also calls unknown types ``reserved``.

    Raises:
        BadImageError: no line has an e820 name, or all addresses are zero because
            the reader was not root.
    """
    lines = [_parsed(match) for match in _LINE.finditer(text)]
    named = [line for line in lines if line.kind is not None]
    _validate_shown(lines, named, origin)
    rows = [(x.first, x.last - x.first + 1, x.kind) for x in _forming(lines)]
    return MemoryMap(
        entries=table_of((addr, size, kind or 0) for addr, size, kind in rows),
        origin=f"{origin} (/proc/iomem text)",
        notes=tuple(_notes(lines)),
    )


def named_ranges(text: str) -> list[tuple[int, int, str]]:
    """Return every line as ``(start, end, name)``, half-open bytes, in its order."""
    lines = (_parsed(match) for match in _LINE.finditer(text))
    return [(line.first, line.last + 1, line.name) for line in lines]


def _parsed(match: re.Match[str]) -> _Line:
    return _Line(
        indent=len(match["before"].expandtabs()),
        first=int(match["first"], 16),
        last=int(match["last"], 16),
        name=match["name"].strip(),
    )


def _validate_shown(lines: list[_Line], named: list[_Line], origin: str) -> None:
    if lines and all(line.last == 0 for line in lines):
        raise BadImageError(
            f"{origin!r}: all {len(lines)} ranges are 00000000-00000000: the kernel "
            "hides addresses from readers without CAP_SYS_ADMIN, read it as root"
        )
    if not named:
        raise BadImageError(
            f"{origin!r}: none of {len(lines)} /proc/iomem lines has the name of an "
            "e820 type, such as 'System RAM'"
        )
    for line in named:
        if line.last < line.first:
            raise BadImageError(f"{origin!r}: {line} ends before it starts")


def _forming(lines: list[_Line]) -> Iterator[_Line]:
    # The named ranges around the current line, outermost first.
    around: list[_Line] = []
    for line in lines:
        if line.kind is None:
            continue
        while around and not around[-1].holds(line):
            around.pop()
        if not around or around[-1].kind != line.kind:
            yield line
        around.append(line)


def _notes(lines: list[_Line]) -> Iterator[Finding]:
    yield from _ends(lines)
    driver = [line for line in lines if line.name.startswith(_DRIVER_RAM)]
    if driver:
        yield note(
            "driver-ram",
            f"{len(driver)} ranges were added as RAM by a driver of the running kernel "
            f"and are no RAM of the firmware's map: first {driver[0]}",
        )
    flat = _flattened(lines)
    if flat is not None:
        yield note(
            "nesting-lost",
            f"{flat} lies inside the range before and is not indented: nesting was "
            "taken from the addresses",
        )


def _ends(lines: list[_Line]) -> Iterator[Finding]:
    if lines[0].first != 0:
        yield note(
            "start-cut", f"the first line is {lines[0]}: lines before it are cut"
        )
    highest = max(lines, key=lambda line: line.last)
    if highest.last < _LAST_EXPECTED:
        yield note(
            "end-unseen",
            f"the highest line is {highest}, below the I/O APIC at "
            f"{_LAST_EXPECTED:#x}: the end is probably cut",
        )


def _flattened(lines: list[_Line]) -> _Line | None:
    for before, line in pairwise(lines):
        inside = before.holds(line) and (before.first, before.last) != (0, 0)
        if inside and line.indent <= before.indent and line.last != 0:
            return line
    return None
