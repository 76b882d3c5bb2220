"""A machine's typed memory ranges, as one source told them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Self

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM, encode_table, table_of
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

    from e820pool.findings import Finding
    from e820pool.memory_devices import MemoryDevices
    from e820pool.range_lists import Row

__all__ = ("MemoryMap",)


# Notes of a source that say so.
_NOT_WHOLE = ("line-cut", "entries-missing")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryMap:
    """The e820 entries of a machine in the order of their source, overlaps and all.

    Attributes:
        entries: E820_DTYPE array (addr, size in bytes; type), read-only.
        origin: what it was read from, for people.
        notes: what was odd or cut in the source.
        devices: where memory can be added, None where the source does not say.
        table: the same entries, with what they name as sets.

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
    devices: MemoryDevices | None = None
    table: E820Table = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # The one place at which a frozen value is completed.
        object.__setattr__(self, "table", E820Table(self.entries))

    @classmethod
    def of(cls, rows: Iterable[Row], origin: str = "") -> Self:
        """Return the map of ``(addr, size, type)`` rows; InputError if too large."""
        return cls(entries=E820Table.of(rows).entries, origin=origin)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MemoryMap):
            return NotImplemented
        return bool(np.array_equal(self.entries, other.entries))

    def __hash__(self) -> int:
        return hash(self.entries.tobytes())

    def __len__(self) -> int:
        return int(self.entries.size)

    def rows(self) -> list[Row]:
        """Return ``(addr, size, type)`` as plain integers, in source order."""
        return self.table.rows()

    def flatten(self) -> MemoryMap:
        """Return the sorted, disjoint map: where entries overlap, the highest type.

        Raises:
            InputError: an entry reaches 2^64.
        """
        return replace(self, entries=self.table.resolved().entries)

    def with_devices_of(self, pages: ExtentSet) -> MemoryMap:
        """Return the map in which added memory under some of the pages is RAM.

        A memory device that was added after boot is in no firmware's map. One that
        holds any of the pages becomes RAM as a whole, as in the map of firmware that
        lists its devices: what is RAM in its table a kernel does not add again. Of a
        region in which devices may lie the pages alone become RAM.
        """
        if self.devices is None:
            return self
        left, rows = pages - self.ram_pages(), []
        for start, end in self.devices.devices:
            device = ByteRangeSet([(start, end)]).pages_inside()
            if left & device:
                rows.append((start, end - start, E820_TYPE_RAM))
                left -= device
        for start, end in left.to_bytes() & ByteRangeSet(self.devices.regions):
            rows.append((start, end - start, E820_TYPE_RAM))
        if not rows:
            return self
        added = np.concatenate((self.entries, table_of(rows)))
        return replace(self, entries=added).flatten()

    def bytes_of(self, *types: int) -> ByteRangeSet:
        """Return the bytes that are of these types once overlaps are resolved.

        Raises:
            InputError: an entry reaches 2^64.
        """
        return self.table.resolved().bytes_of(*types)

    def ram_pages(self) -> ExtentSet:
        """Return the whole pages that are RAM in every byte."""
        return self.bytes_of(E820_TYPE_RAM).pages_inside()

    def reserved_later(self) -> ExtentSet:
        """Return the pages that a kernel took out of this map's RAM afterwards.

        They are those of the notes ``reserved-later``.
        """
        pages = (note.extents for note in self.notes if note.id == "reserved-later")
        return ExtentSet(chain.from_iterable(pages))

    def validate_whole(self) -> None:
        """Raise InputError where a note says that entries could not be read."""
        for note in self.notes:
            if note.id in _NOT_WHOLE:
                raise InputError(
                    f"{self.origin}: {note.message}: no deposit is safe in such a map "
                    "(--partial takes it as it is)",
                    ident="map-not-whole",
                )

    def as_printed(self) -> MemoryMap:
        """Return the map without the notes of what a kernel reserved later."""
        notes = tuple(note for note in self.notes if note.id != "reserved-later")
        return replace(self, notes=notes)

    def digest(self) -> bytes:
        """Return 16 bytes that name this map: SHA-256 over the flattened table."""
        flat = encode_table(self.table.resolved().entries)
        # Deferred: construct is not needed to read a text.
        from e820pool.abi.pool_record import MAP_DIGEST_BYTES  # noqa: PLC0415

        return hashlib.sha256(flat).digest()[:MAP_DIGEST_BYTES]
