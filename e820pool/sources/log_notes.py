"""State what is cut or odd in a map that a kernel log shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.extents import PAGE_SHIFT, ByteRangeSet, Span
from e820pool.findings import counted
from e820pool.sources.oddities import note
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from e820pool.findings import Finding
    from e820pool.sources.log_blocks import LogBlock, LoggedBoot
    from e820pool.sources.log_edits import LaterEdit
    from e820pool.sources.log_entry import LogEntry

__all__ = ("log_notes",)

# So many lines are listed, the rest is counted.
_SHOWN = 8

# What lies below, all kernels edit.
_LOW_MEMORY = ByteRangeSet([(0, 1 << 20)])

# What kernels print when the BIOS map was refused (setup_memory_region of 2.4,
# e820__memory_setup_default of 7.3).
_FALLBACK = ("BIOS-e801", "BIOS-88")


def log_notes(boot: LoggedBoot, block: LogBlock) -> tuple[Finding, ...]:
    """Return what is cut or odd in ``block``, a map of ``boot``, as notes.

    The ids are listed in specs/sources.md.
    """
    checks = (_start, _end, _inside, _words, _dialects, _edits, _around)
    return tuple(finding for check in checks for finding in check(boot, block))


def _start(_boot: LoggedBoot, block: LogBlock) -> Iterator[Finding]:
    if block.has_header:
        return
    addr = block.entries[0].addr
    if addr:
        yield note(
            "start-cut",
            f"no headline before line {block.lines[0]}, and the first entry is at "
            f"{addr:#x}: the start of the map is probably cut",
        )
    else:
        yield note(
            "no-headline",
            f"no headline before line {block.lines[0]}; the first entry is at 0, so "
            "that the start is probably whole",
        )


def _end(boot: LoggedBoot, block: LogBlock) -> Iterator[Finding]:
    last = block.lines[-1]
    if not block.is_followed:
        yield note(
            "end-unseen",
            f"the log ends with line {last} of the map: its end may be cut",
        )
    elif boot.has_hole and block.name == "bios":
        yield note(
            "end-unseen",
            f"lines are missing between the map (to line {last}) and the start of "
            "the CPUs: the end of the map may be among them",
        )
    ram = _ram_of(block).ends
    ram_end_pfn = int(ram[-1]) >> PAGE_SHIFT if ram.size else 0
    if block.last_pfn is not None and block.last_pfn > ram_end_pfn:
        yield note(
            "ram-missing",
            f"the kernel saw RAM up to PFN {block.last_pfn:#x}, the map's RAM ends at "
            f"PFN {ram_end_pfn:#x}: entries are missing",
        )


def _inside(boot: LoggedBoot, block: LogBlock) -> Iterator[Finding]:
    gaps = _like(block, lambda entry: entry.type is None)
    if gaps.size:
        yield note(
            "gap-lines",
            f"{counted(gaps.size, '[gap ..] line')}, where the map has no entry: first "
            f"{_shown(block.entries[int(gaps[0])])}",
        )
        yield from _missing(block)
    cut = [entry.line for entry in boot.cut if entry.block in (None, block.name)]
    if cut:
        lines = ", ".join(map(str, cut[:_SHOWN])) + ", ..." * (len(cut) > _SHOWN)
        yield note(
            "line-cut",
            f"only pieces of {counted(len(cut), 'entry')} can be read, which the map "
            f"lacks: line {lines}",
        )


def _missing(block: LogBlock) -> Iterator[Finding]:
    # 7.0 and later print every gap, so that each line starts where the last ended.
    reach = 0 if block.has_header else block.entries[0].addr
    for entry, line in zip(block.entries, block.lines, strict=True):
        if entry.addr > reach:
            yield note(
                "lines-missing",
                f"line {line}: nothing is said of [mem {reach:#x}-"
                f"{entry.addr - 1:#x}] before {_shown(entry)}: lines are missing",
            )
            return
        reach = entry.addr + entry.size


def _words(_boot: LoggedBoot, block: LogBlock) -> Iterator[Finding]:
    odd = _like(block, lambda entry: bool(entry.words))
    if odd.size:
        first = int(odd[0])
        yield note(
            "unknown-words",
            f"{counted(odd.size, 'entry')} with words that no kernel prints: first "
            f"{block.entries[first].words!r} in line {block.lines[first]}; not "
            "taken for RAM",
        )
    bare = _like(block, lambda entry: not entry.has_words)
    if bare.size:
        yield note(
            "type-cut",
            f"{counted(bare.size, 'line')} without the end, where the type is: "
            "first line "
            f"{block.lines[int(bare[0])]}; not taken for RAM",
        )


# The numbers of the entries of which something holds that has no numbers in it.
def _like(block: LogBlock, holds: Callable[[LogEntry], bool]) -> NDArray[np.intp]:
    alike = np.array([holds(entry) for entry in block.entries.shared], np.bool_)
    if not alike.any():
        return np.empty(0, np.intp)
    return np.flatnonzero(alike[np.asarray(block.entries.kinds)])


def _dialects(_boot: LoggedBoot, block: LogBlock) -> Iterator[Finding]:
    entries = block.entries
    common = entries.shared[0].dialects
    for kind, entry in enumerate(entries.shared):
        if not common & entry.dialects:
            line = block.lines[entries.first_with(kind)]
            yield note(
                "mixed-dialects",
                f"line {line} is written as kernels {_named(entry.dialects)} do, those "
                f"before as {_named(common)}: not one kernel's log",
            )
            return
        common &= entry.dialects
    fallback = [e.who for e in entries.shared if e.who in _FALLBACK]
    if fallback:
        yield note(
            "fallback-map",
            f"the kernel refused the firmware's map and made up this one, "
            f"{fallback[0]}: it has no RESERVED entries",
        )


# What the kernel took out of its RAM after it had printed the map: a machine's own
# (RMP table, MTRR, GART, EFI's data), which each kernel has to find out for itself.
# Edits before the user map are the command line's (mem=, memmap=).
def _edits(boot: LoggedBoot, block: LogBlock) -> Iterator[Finding]:
    user, modified = (boot.blocks.get(name) for name in ("user", "modified"))
    since = block.lines[-1]
    if user is not None:
        since = max(since, user.lines[0])
    edits = [
        edit
        for edit in boot.edits
        if edit.line >= since and edit.takes_ram and edit.is_above_low_memory
    ]
    ram, taken, lines = _ram_of(block), _bytes_of(edits), [e.line for e in edits]
    if modified is not None and block.lines[-1] < modified.lines[0]:
        # Consoles leave the edits out, which are of level debug, and show their sum.
        before = _ram_of(user) if user is not None else ram
        removed = before - _ram_of(modified) - _LOW_MEMORY
        taken |= removed
        lines += [modified.lines[0]] * bool(removed)
    pages = (taken & ram).pages_touched()
    if not pages:
        return
    shown = [str(Span(start, end)) for start, end in taken]
    listed = ", ".join(shown[:_SHOWN]) + ", ..." * (len(shown) > _SHOWN)
    yield note(
        "reserved-later",
        f"this kernel reserved {listed} after it had printed this map (first line "
        f"{min(lines)}): RAM there may fault in a kernel that does not do the "
        "same, and is no deposit",
        pages,
    )


def _ram_of(block: LogBlock) -> ByteRangeSet:
    return E820Table(block.entries.table()).bytes_of(E820_TYPE_RAM)


def _bytes_of(ranges: Sequence[LaterEdit]) -> ByteRangeSet:
    bounds = ((edit.addr, edit.addr + edit.size) for edit in ranges)
    return ByteRangeSet(
        (start, min(end, ByteRangeSet.LIMIT)) for start, end in bounds if start < end
    )


def _around(boot: LoggedBoot, block: LogBlock) -> Iterator[Finding]:
    if block.changes:
        yield note(
            "decorated", f"lines were cleaned of {', '.join(sorted(block.changes))}"
        )
    if boot.dropped:
        yield note(
            "entries-dropped",
            f"the kernel's table was full: it dropped entries in {len(boot.dropped)} "
            f"lines, first line {boot.dropped[0]}",
        )
    others = [
        f"{name} ({counted(len(other.entries.table()), 'entry')})"
        for name, other in boot.blocks.items()
        if name != block.name
    ]
    if others:
        yield note("other-blocks", f"the same boot also shows {', '.join(others)}")


def _shown(entry: LogEntry) -> str:
    last = (entry.addr + entry.size - 1) % (1 << 64)
    return f"[mem {entry.addr:#x}-{last:#x}]"


def _named(dialects: frozenset[str]) -> str:
    return " or ".join(sorted(dialects))
