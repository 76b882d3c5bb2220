"""Read the program headers of /proc/vmcore and /proc/kcore; shorten the kernel's."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from e820pool.errors import BadImageError
from e820pool.extents import ByteRangeSet

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "KCORE_BYTES",
    "TextSegment",
    "dumped_ranges",
    "headers_size",
    "kcore_with_text",
    "kernel_text",
)

KCORE_BYTES: Final = 1 << 16
"""What kexec-tools read of /proc/kcore: KCORE_ELF_HEADERS_SIZE, 2.0.25
kexec/crashdump.h. A kernel with more headers than that cannot be loaded for by them."""

# Elf64_Ehdr and Elf64_Phdr, System V ABI gABI 4.1; little-endian.
_HEADER = struct.Struct("<4sBB10xHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_MAGIC, _CLASS_64, _LITTLE = b"\x7fELF", 2, 1
_ET_CORE, _PT_LOAD = 4, 1
_LIMIT = 1 << 64
# p_filesz and p_memsz in a program header.
_SIZES = struct.Struct("<QQ")
_SIZES_AT = 0x20
# e_phoff and e_phnum in the ELF header.
_PLACE, _PLACE_AT = struct.Struct("<Q"), 0x20
_COUNT, _COUNT_AT = struct.Struct("<H"), 0x38
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
    segments = [
        (vaddr, at, memsz)
        for at, (_, _, _, vaddr, _, _, memsz, _) in _loads(data, "kcore")
        if vaddr >= _TEXT_MAP
    ]
    if not segments:
        raise BadImageError(f"kcore: no segment at or above {_TEXT_MAP:#x}")
    _, at, size = min(segments)
    return TextSegment(header_at=at, size=size)


def kcore_with_text(data: bytes, size: int) -> bytes:
    """Return headers of /proc/kcore with the kernel's own mapping ``size`` bytes long.

    Notes are left out, as they are behind the headers; and mappings of RAM where there
    are more headers than :data:`KCORE_BYTES` hold. What kexec-tools look for is the
    kernel's mapping and the lowest address of all.

    Raises:
        BadImageError: as above.
    """
    text = kernel_text(data).header_at
    loads = [(at, header[3]) for at, header in _loads(data, "kcore")]
    lowest = min(loads, key=lambda load: load[1])[0]
    offsets = list(dict.fromkeys((text, lowest, *(at for at, _ in loads))))
    room = (KCORE_BYTES - _HEADER.size) // _PROGRAM.size
    headers = [data[at : at + _PROGRAM.size] for at in offsets[:room]]
    sized = _SIZES.pack(size, size)
    headers[0] = headers[0][:_SIZES_AT] + sized + headers[0][_SIZES_AT + _SIZES.size :]
    start = bytearray(data[: _HEADER.size])
    _PLACE.pack_into(start, _PLACE_AT, _HEADER.size)
    _COUNT.pack_into(start, _COUNT_AT, len(headers))
    return bytes(start) + b"".join(headers)


def headers_size(data: bytes) -> int:
    """Return where the program headers of an ELF core end that begins with ``data``.

    Raises:
        BadImageError: it is no 64-bit ELF core.
    """
    fields = _header(data, "kcore")
    return int(fields[7] + fields[11] * fields[12])


# Each with where its header is.
def _loads(data: bytes, label: str) -> Iterator[tuple[int, tuple[int, ...]]]:
    fields = _header(data, label)
    offset, size, count = fields[7], fields[11], fields[12]
    end = offset + size * count
    if size != _PROGRAM.size or end > len(data):
        raise BadImageError(
            f"{label}: {count} program headers of {size} bytes at {offset:#x} end at "
            f"{end:#x}, and {len(data):#x} bytes are there"
        )
    for at in range(offset, end, size):
        header = _PROGRAM.unpack_from(data, at)
        if header[0] == _PT_LOAD:
            yield at, header


def _header(data: bytes, label: str) -> tuple[Any, ...]:
    if len(data) < _HEADER.size:
        raise BadImageError(
            f"{label} of {len(data)} bytes: an ELF header has {_HEADER.size}"
        )
    fields = _HEADER.unpack_from(data)
    if fields[:4] != (_MAGIC, _CLASS_64, _LITTLE, _ET_CORE):
        raise BadImageError(f"{label}: {data[:18].hex()} is no 64-bit ELF core")
    return fields
