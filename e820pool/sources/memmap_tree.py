"""Read a memory map from a tree shaped as /sys/firmware/memmap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError
from e820pool.findings import counted
from e820pool.memory_map import MemoryMap
from e820pool.sources.files import (
    numbered_entries,
    parse_hex_attribute,
    read_attribute,
)
from e820pool.sources.oddities import note
from e820pool.type_words import TYPE_WITHOUT_NUMBER, type_of_resource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e820pool.findings import Finding

__all__ = ("is_memmap_tree", "read_memmap_tree")

_WRAP = 1 << 64


def is_memmap_tree(path: Path) -> bool:
    """Return whether a directory holds ``N/start`` for some number N."""
    return any((entry / "start").exists() for _, entry in numbered_entries(path)[:1])


def read_memmap_tree(path: Path, *, origin: str = "") -> MemoryMap:
    """Return the map of ``N/{start,end,type}``, in the numeric order of N.

    ``end`` is inclusive (drivers/firmware/memmap.c, 2.6.27 to 7.3). The names are
    those of /proc/iomem; one that is unknown gives ``TYPE_WITHOUT_NUMBER``.

    Raises:
        InputError: a file cannot be read.
        BadImageError: there is no numbered entry, or one is not a whole range.
    """
    numbered = numbered_entries(path)
    if not numbered:
        raise BadImageError(f"{origin!r} has no entry 0/ with start, end and type")
    names = [read_attribute(entry / "type") for _, entry in numbered]
    ranges = [_range_of(entry) for _, entry in numbered]
    kinds = [type_of_resource(name) for name in names]
    return MemoryMap(
        entries=table_of(
            (addr, size, TYPE_WITHOUT_NUMBER if kind is None else kind)
            for (addr, size), kind in zip(ranges, kinds, strict=True)
        ),
        origin=f"{origin} (firmware memmap tree)",
        notes=(*_numbering(numbered), *_odd_names(names)),
    )


def _range_of(entry: Path) -> tuple[int, int]:
    start = parse_hex_attribute(entry / "start")
    end = parse_hex_attribute(entry / "end")
    # An empty range ends one byte before it starts; anything else that is reversed
    # is no range.
    if end + 1 < start:
        raise BadImageError(f"{str(entry)!r} ends at {end:#x}, before its {start:#x}")
    return start, (end + 1 - start) % _WRAP


def _numbering(numbered: list[tuple[int, Path]]) -> Iterator[Finding]:
    missing = sorted(set(range(len(numbered))) - {number for number, _ in numbered})
    if missing:
        yield note(
            "entries-missing",
            f"the tree has {counted(len(numbered), 'entry')} and no number "
            f"{missing[0]}: some "
            "are missing",
        )


def _odd_names(names: list[str]) -> Iterator[Finding]:
    odd = [name for name in names if type_of_resource(name) is None]
    if odd:
        yield note(
            "unknown-words",
            f"{counted(len(odd), 'entry')} with a type name that no kernel has: first "
            f"{odd[0][:40]!r}; they are not taken for RAM",
        )
