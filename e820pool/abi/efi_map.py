"""An EFI memory map with the system table that kernels want to see beside it.

    EFI system table, 64 bit | name of the firmware | descriptors

UEFI 2.10, 4.3 (EFI_SYSTEM_TABLE) and 7.2.3 (EFI_MEMORY_DESCRIPTOR); Linux 6.1
include/linux/efi.h efi_system_table_64_t, efi_memory_desc_t.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from construct import Bytes, Const, Default, Int32ul, Int64ul, Struct

from e820pool.abi.boot_params import EfiInfo
from e820pool.abi.layout import build_bytes, dtype_of
from e820pool.errors import BadImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = (
    "EFI_CONVENTIONAL",
    "EFI_DESCRIPTOR_DTYPE",
    "EFI_MEMORY_SP",
    "EFI_MEMORY_WB",
    "EFI_RESERVED",
    "EFI_UNACCEPTED",
    "efi_info_of",
    "encode_efi_tables",
    "parse_efi_map",
)

EFI_RESERVED = 0  #: EFI_RESERVED_TYPE: nobody's.
EFI_CONVENTIONAL = 7  #: EFI_CONVENTIONAL_MEMORY.
EFI_UNACCEPTED = 15  #: EFI_UNACCEPTED_MEMORY.
EFI_MEMORY_WB = 0x8  #: Attribute of memory that may be cached for writing, as RAM is.
EFI_MEMORY_SP = 0x4_0000  #: Attribute of special-purpose memory.

_DESCRIPTOR = Struct(
    "type" / Int32ul,
    "pad" / Int32ul,
    "phys_addr" / Int64ul,
    "virt_addr" / Int64ul,
    "num_pages" / Int64ul,
    "attribute" / Int64ul,
)
#: Rows of a map of any length: efi_memory_desc_t, pages of 4096 bytes.
EFI_DESCRIPTOR_DTYPE = dtype_of(_DESCRIPTOR)

# No configuration table, no service: what is not there cannot be called. The pointer
# to the tables is not zero, as the decompressor of 5.10 stops at that
# (arch/x86/boot/compressed/acpi.c efi_get_rsdp_addr()).
_SYSTEM_TABLE = Struct(
    "signature" / Const(b"IBI SYST"),
    "revision" / Const(2 << 16 | 100, Int32ul),
    "header_size" / Const(120, Int32ul),
    "crc32" / Default(Int32ul, 0),
    "reserved" / Default(Int32ul, 0),
    "fw_vendor" / Int64ul,
    "fw_revision" / Default(Int64ul, 0),
    "consoles_and_services" / Default(Bytes(64), bytes(64)),
    "nr_tables" / Default(Int64ul, 0),
    "tables" / Int64ul,
)
_VENDOR = "e820pool\0".encode("utf-16-le").ljust(24, b"\0")
_MAP_AT = _SYSTEM_TABLE.sizeof() + len(_VENDOR)
_EL64 = 0x3436_4C45


def encode_efi_tables(addr: int, rows: NDArray[Any]) -> bytes:
    """Return a system table and a map, for a place at ``addr``.

    Args:
        addr: physical address of the first byte.
        rows: EFI_DESCRIPTOR_DTYPE.
    """
    vendor = addr + _SYSTEM_TABLE.sizeof()
    table = {"fw_vendor": vendor, "tables": addr + _MAP_AT}
    head = build_bytes(_SYSTEM_TABLE, table, "EFI system table")
    return head + _VENDOR + rows.tobytes()


def efi_info_of(addr: int, tables: bytes) -> EfiInfo:
    """Return what a zero page says of the result of :func:`encode_efi_tables`."""
    at = addr + _MAP_AT
    return EfiInfo(
        efi_loader_signature=_EL64,
        efi_systab=addr & 0xFFFF_FFFF,
        efi_systab_hi=addr >> 32,
        efi_memdesc_size=EFI_DESCRIPTOR_DTYPE.itemsize,
        efi_memdesc_version=1,
        efi_memmap=at & 0xFFFF_FFFF,
        efi_memmap_hi=at >> 32,
        efi_memmap_size=len(tables) - _MAP_AT,
    )


def parse_efi_map(data: bytes, stride: int) -> NDArray[Any]:
    """Return the descriptors of a map, EFI_DESCRIPTOR_DTYPE.

    Args:
        data: the map; what follows the last whole descriptor is ignored.
        stride: bytes from one descriptor to the next, ``efi_memdesc_size``.

    Raises:
        BadImageError: the stride is less than a descriptor has bytes.
    """
    least = EFI_DESCRIPTOR_DTYPE.itemsize
    if stride < least:
        raise BadImageError(f"EFI descriptors of {stride} bytes: the least is {least}")
    count = len(data) // stride
    raw = np.frombuffer(data, np.uint8, count * stride).reshape(count, stride)
    return np.ascontiguousarray(raw[:, :least]).view(EFI_DESCRIPTOR_DTYPE)[:, 0]
