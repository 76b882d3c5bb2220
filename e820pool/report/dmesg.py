"""A map as a kernel of any dialect prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.type_words import LogDialect, log_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e820pool.memory_map import MemoryMap

__all__ = ("dmesg_text",)

_WRAP = 1 << 64

# What e820__print_table() and its forerunners are given, and what stands above
# (arch/x86/kernel/e820.c).
_WHO = {
    "bios": "BIOS-e820",
    "extended": "extended",
    "setup_data": "reserve setup_data",
    "user": "user",
    "modified": "modified",
}
_HEADLINE = {
    "bios": "BIOS-provided",
    "extended": "extended",
    "setup_data": "extended",
    "user": "user-defined",
    "modified": "modified",
}


def dmesg_text(
    memory_map: MemoryMap, dialect: LogDialect = "3.5", block: str = "bios"
) -> str:
    """Return the headline and the lines of a kernel's log, without timestamps.

    Args:
        memory_map: printed entry by entry, in its order.
        dialect: one of ``e820pool.type_words.LOG_DIALECTS``.
        block: ``bios``, ``extended``, ``setup_data``, ``user`` or ``modified``.
    """
    lines = [f"{_HEADLINE[block]} physical RAM map:"]
    lines += _LINES[dialect](memory_map, _WHO[block])
    return "\n".join(lines) + "\n"


def _size_at_start(memory_map: MemoryMap, who: str) -> Iterator[str]:
    for addr, size, kind in memory_map.rows():
        yield f" {who}: {size:016x} @ {addr:016x} {log_words(kind, '2.4')}"


def _end_exclusive(memory_map: MemoryMap, who: str) -> Iterator[str]:
    for addr, size, kind in memory_map.rows():
        end = (addr + size) % _WRAP
        yield f" {who}: {addr:016x} - {end:016x} {log_words(kind, 'pre-3.5')}"


def _end_inclusive(memory_map: MemoryMap, who: str) -> Iterator[str]:
    for addr, size, kind in memory_map.rows():
        yield f"{who}: {_range('mem', addr, addr + size)} {log_words(kind, '3.5')}"


def _with_gaps(memory_map: MemoryMap, who: str) -> Iterator[str]:
    reach = 0
    for addr, size, kind in memory_map.rows():
        if addr < reach:
            yield "[Firmware Bug]: out of order E820 entry!"
        elif addr > reach:
            yield f"{who}: {_range('gap', reach, addr)}"
        reach = (addr + size) % _WRAP
        yield f"{who}: {_range('mem', addr, addr + size)}  {log_words(kind, '7.0')}"


def _range(label: str, addr: int, end: int) -> str:
    return f"[{label} 0x{addr:016x}-0x{(end - 1) % _WRAP:016x}]"


_LINES: dict[LogDialect, Callable[[MemoryMap, str], Iterator[str]]] = {
    "2.4": _size_at_start,
    "pre-3.5": _end_exclusive,
    "3.5": _end_inclusive,
    "7.0": _with_gaps,
}
