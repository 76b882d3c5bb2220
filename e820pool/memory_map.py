"""A machine's typed memory ranges, as one source told them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM, encode_table, table_of
from e820pool.abi.pool_record import MAP_DIGEST_BYTES
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.sweep import sweep_arrays

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

    from e820pool.findings import Finding

__all__ = ("MemoryMap", "table_bytes", "validate_no_wrap")


def validate_no_wrap(table: NDArray[Any]) -> None:
    """Raise InputError for an entry whose end reaches 2^64.

    Linux e820__update_table() (arch/x86/kernel/e820.c, 2.6.32 to 7.3) refuses a
    whole table that holds one.
    """
    ends = table["addr"] + table["size"]
    for at in np.flatnonzero(ends < table["addr"])[:1].tolist():
        addr, size, _ = table[at].tolist()
        raise InputError(
            f"entry {at} at {addr:#x} with size {size:#x} reaches 2^64: the limit "
            f"of an entry's end is {(1 << 64) - 1:#x}"
        )


def table_bytes(table: NDArray[Any], kind: int | None = None) -> ByteRangeSet:
    """Return the bytes that entries name as they stand, overlaps and all.

    An entry that reaches 2^64 or wraps there covers all from its start on.

    Args:
        table: E820_DTYPE.
        kind: only entries of this type; None for all.
    """
    rows = table if kind is None else table[table["type"] == kind]
    ends = rows["addr"] + rows["size"]
    ends[ends < rows["addr"]] = ByteRangeSet.LIMIT
    return ByteRangeSet.from_bounds(rows["addr"], ends)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryMap:
    """Hold e820 entries in the order of their source, overlaps and all.

    Attributes:
        entries: E820_DTYPE array (addr, size in bytes; type), read-only.
        origin: what it was read from, for people.
        notes: what was odd or cut in the source.

    Example:
        >>> from e820pool.memory_map import MemoryMap
        >>> machine = MemoryMap.of([(0x0, 0x9F000, 1), (0x10_0000, 0x3FF0_0000, 1),
        ...                         (0x2000_0000, 0x1000, 2)])
        >>> [hex(addr) for addr, size, kind in machine.flatten().rows()]
        ['0x0', '0x100000', '0x20000000', '0x20001000']
        >>> machine.ram_pages()
        ExtentSet([0x0, 0x9f), [0x100, 0x20000), [0x20001, 0x40000))
    """

    entries: NDArray[Any]
    origin: str = ""
    notes: tuple[Finding, ...] = field(default=())

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int]], origin: str = "") -> Self:
        """Return the map of ``(addr, size, type)`` rows; InputError if too large."""
        return cls(entries=table_of(rows), origin=origin)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MemoryMap):
            return NotImplemented
        return bool(np.array_equal(self.entries, other.entries))

    def __hash__(self) -> int:
        return hash(self.entries.tobytes())

    def __len__(self) -> int:
        return int(self.entries.size)

    def rows(self) -> list[tuple[int, int, int]]:
        """Return ``(addr, size, type)`` as plain integers, in source order."""
        return [(a, s, t) for a, s, t in self.entries.tolist()]

    def flatten(self) -> MemoryMap:
        """Return the sorted, disjoint map: where entries overlap, the highest type.

        Raises:
            InputError: an entry reaches 2^64.
        """
        validate_no_wrap(self.entries)
        columns = sweep_arrays(
            self.entries["addr"], self.entries["size"], self.entries["type"]
        )
        flat = np.empty(columns[0].size, self.entries.dtype)
        flat["addr"], flat["size"], flat["type"] = columns
        return MemoryMap(entries=flat, origin=self.origin, notes=self.notes)

    def bytes_of(self, kind: int) -> ByteRangeSet:
        """Return the bytes whose type is ``kind`` once overlaps are resolved."""
        return table_bytes(self.flatten().entries, kind)

    def ram_pages(self) -> ExtentSet:
        """Return the whole pages that are RAM in every byte."""
        return self.bytes_of(E820_TYPE_RAM).pages_inside()

    def digest(self) -> bytes:
        """Return 16 bytes that name this map: SHA-256 over the flattened table."""
        flat = encode_table(self.flatten().entries)
        return hashlib.sha256(flat).digest()[:MAP_DIGEST_BYTES]
