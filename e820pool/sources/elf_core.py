"""Read the program headers of /proc/vmcore and /proc/kcore; shorten the kernel's."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.errors import BadImageError
from e820pool.extents import ByteRangeSet

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("TextSegment", "dumped_ranges", "kernel_text", "kernel_text_of_size")

# Elf64_Ehdr and Elf64_Phdr, System V ABI gABI 4.1; little-endian.
_HEADER = struct.Struct("<4sBB10xHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_MAGIC, _CLASS_64, _LITTLE = b"\x7fELF", 2, 1
_ET_CORE, _PT_LOAD = 4, 1
_LIMIT = 1 << 64
# p_filesz and p_memsz in a program header.
_SIZES = struct.Struct("<QQ")
_SIZES_AT = 0x20
# x86-64 maps the kernel's text from here on, and modules behind it
# (arch/x86/include/asm/page_64_types.h __START_KERNEL_map).
_TEXT_MAP = 0xFFFF_FFFF_8000_0000


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSegment:
    """Where /proc/kcore has the mapping of the running kernel's image.

    Attributes:
        header_at: byte of its program header in the file.
        size: of the mapping in bytes, from ``_text`` to ``_end``.
    """

    header_at: int
    size: int


def dumped_ranges(data: bytes) -> ByteRangeSet:
    """Return the physical bytes of all segments of a dump.

    Args:
        data: the file, or its beginning with all program headers.

    Raises:
        BadImageError: it is no 64-bit ELF core, or its program headers are cut.
    """
    return ByteRangeSet(
        (paddr, min(paddr + memsz, _LIMIT))
        for _, (_, _, _, _, paddr, _, memsz, _) in _loads(data, "vmcore")
        if memsz
    )


def kernel_text(data: bytes) -> TextSegment:
    """Return the kernel's own mapping in /proc/kcore.

    Raises:
        BadImageError: as above, or there is none.
    """
    found = [
        (vaddr, at, memsz)
        for at, (_, _, _, vaddr, _, _, memsz, _) in _loads(data, "kcore")
        if vaddr >= _TEXT_MAP
    ]
    if not found:
        raise BadImageError(f"kcore: no segment at or above {_TEXT_MAP:#x}")
    _, at, size = min(found)
    return TextSegment(header_at=at, size=size)


def kernel_text_of_size(data: bytes, size: int) -> bytes:
    """Return the file with the kernel's own mapping so many bytes long.

    Raises:
        BadImageError: as above.
    """
    at = kernel_text(data).header_at + _SIZES_AT
    return data[:at] + _SIZES.pack(size, size) + data[at + _SIZES.size :]


# Each with where its header is.
def _loads(data: bytes, what: str) -> Iterator[tuple[int, tuple[int, ...]]]:
    if len(data) < _HEADER.size:
        raise BadImageError(
            f"{what} of {len(data)} bytes: an ELF header has {_HEADER.size}"
        )
    fields = _HEADER.unpack_from(data)
    if fields[:4] != (_MAGIC, _CLASS_64, _LITTLE, _ET_CORE):
        raise BadImageError(f"{what}: {data[:18].hex()} is no 64-bit ELF core")
    offset, size, count = fields[7], fields[11], fields[12]
    end = offset + size * count
    if size != _PROGRAM.size or end > len(data):
        raise BadImageError(
            f"{what}: {count} program headers of {size} bytes at {offset:#x} end at "
            f"{end:#x}, and {len(data):#x} bytes are there"
        )
    for at in range(offset, end, size):
        header = _PROGRAM.unpack_from(data, at)
        if header[0] == _PT_LOAD:
            yield at, header
