"""The e820 entry, and tables of any length as numpy arrays."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from e820pool.errors import BadImageError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.range_lists import Row

__all__ = (
    "E820_DTYPE",
    "E820_ENTRY_BYTES",
    "E820_MAX_ENTRIES_ZEROPAGE",
    "E820_TYPE_ACPI",
    "E820_TYPE_NVS",
    "E820_TYPE_PMEM",
    "E820_TYPE_PRAM",
    "E820_TYPE_RAM",
    "E820_TYPE_RESERVED",
    "E820_TYPE_RESERVED_KERN",
    "E820_TYPE_SOFT_RESERVED",
    "E820_TYPE_UNUSABLE",
    "E820Array",
    "encode_table",
    "parse_table",
    "table_of",
)

#: Slots of boot_params.e820_table, in every kernel since 2.6.26
#: (arch/x86/include/uapi/asm/bootparam.h).
E820_MAX_ENTRIES_ZEROPAGE = 128

#: Usable memory; enum e820_type, arch/x86/include/asm/e820/types.h (6.1).
E820_TYPE_RAM = 1
E820_TYPE_RESERVED = 2  #: Not usable; every kernel leaves it alone.
E820_TYPE_ACPI = 3  #: ACPI tables.
E820_TYPE_NVS = 4  #: ACPI non-volatile storage.
E820_TYPE_UNUSABLE = 5  #: Memory with errors.
E820_TYPE_PMEM = 7  #: Persistent memory.
E820_TYPE_PRAM = 12  #: Persistent memory, the type of before ACPI 6.
#: Internal to kernels up to 6.12, unknown to 6.18 and later: never written by us.
E820_TYPE_RESERVED_KERN = 128
E820_TYPE_SOFT_RESERVED = 0xEFFF_FFFF  #: Memory kept for a purpose.

#: Rows of a table of any length; fields addr, size (uint64) and type (uint32). A test
#: holds it to the construct of boot_params, which readers of text need not import.
E820_DTYPE = np.dtype([("addr", "<u8"), ("size", "<u8"), ("type", "<u4")])
E820_ENTRY_BYTES = E820_DTYPE.itemsize  #: Bytes of one entry, 20.
#: A table of any length, rows of E820_DTYPE.
E820Array: TypeAlias = npt.NDArray[np.void]

_PIECE_ROWS = 4096

# What a number of an entry must be below.
_LIMITS = (("addr", 1 << 64), ("size", 1 << 64), ("type", 1 << 32))


def parse_table(data: bytes) -> E820Array:
    """Return the entries as a read-only view of ``data``, in its order.

    Nothing is judged but the length: entries may overlap, wrap or be empty.

    Raises:
        BadImageError: the length is no multiple of 20 bytes.
    """
    if len(data) % E820_ENTRY_BYTES:
        raise BadImageError(
            f"e820 table of {len(data)} bytes (0x{len(data):x}) is no multiple of"
            f" {E820_ENTRY_BYTES}: the last entry is cut",
        )
    return np.frombuffer(data, dtype=E820_DTYPE)


def encode_table(table: E820Array) -> bytes:
    """Return the packed entries, 20 bytes each.

    Raises:
        InputError: the array is not one-dimensional or not of ``E820_DTYPE``.
    """
    if table.dtype != E820_DTYPE or table.ndim != 1:
        raise InputError(
            f"an e820 table is a one-dimensional array of {E820_DTYPE},"
            f" not {table.ndim}-dimensional of {table.dtype}",
        )
    return table.tobytes()


def table_of(rows: Iterable[Row]) -> E820Array:
    """Return a table of ``(addr, size, type)`` rows, addr and size in bytes.

    Raises:
        InputError: a row has another shape or a number does not fit its field.
    """
    source = iter(rows)
    first = list(islice(source, _PIECE_ROWS))
    if len(first) < _PIECE_ROWS:
        return _table_of_piece(first, 0)
    # In pieces: the rows of a long table are many times as large as the table.
    packed = bytearray(_table_of_piece(first, 0))
    while piece := list(islice(source, _PIECE_ROWS)):
        packed += _table_of_piece(piece, len(packed) // E820_ENTRY_BYTES).tobytes()
    return np.frombuffer(packed, E820_DTYPE)


def _table_of_piece(rows: list[Row], at: int) -> E820Array:
    table = np.empty(len(rows), E820_DTYPE)
    # By columns, as that is cheaper; row by row only to say what is wrong.
    if rows and not _fill_columns(table, rows):
        table[:] = [_checked_row(at + index, row) for index, row in enumerate(rows)]
    return table


def _fill_columns(table: E820Array, rows: list[Row]) -> bool:
    try:
        columns = tuple(zip(*rows, strict=True))
        for (name, limit), column in zip(_LIMITS, columns, strict=True):
            if min(column) < 0 or max(column) >= limit:
                return False
            table[name] = column
    except (TypeError, ValueError):
        return False
    return True


def _checked_row(index: int, row: Row) -> Row:
    try:
        addr, size, type_ = map(int, row)
    except (TypeError, ValueError) as exc:
        raise InputError(
            f"entry {index} is {row!r}, not three numbers addr, size, type",
        ) from exc
    for (name, limit), value in zip(_LIMITS, (addr, size, type_), strict=True):
        if not 0 <= value < limit:
            raise InputError(
                f"entry {index}: {name} {value:#x} is outside 0..{limit - 1:#x}",
            )
    return addr, size, type_
