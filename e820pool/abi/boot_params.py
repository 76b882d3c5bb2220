"""The zero page: struct boot_params, every field and every pad."""

# ruff: noqa: RUF009  `at` returns dataclasses.field, which ruff cannot see

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from construct import Array, Bytes, Int8ul, Int32ul, Int64ul, Struct

from e820pool.abi.binding import at, encode_value, parse_value, struct_of
from e820pool.abi.e820 import (
    E820_ENTRY_BYTES,
    E820_MAX_ENTRIES_ZEROPAGE,
    E820Array,
    encode_table,
    parse_table,
)
from e820pool.abi.setup_header import SetupHeader
from e820pool.errors import BadImageError, CapacityError

__all__ = (
    "BOOT_PARAMS",
    "BOOT_PARAMS_BYTES",
    "E820_ENTRY",
    "E820_TABLE_OFFSET",
    "BootParams",
    "EfiInfo",
    "SetupHeader",
    "encode_boot_params",
    "parse_boot_params",
    "validate_e820_count",
)


#: Where the table lies; a count above 128 reads on behind it.
E820_TABLE_OFFSET = 0x2D0

# struct screen_info (include/uapi/linux/screen_info.h): ext_mem_k, an unsigned short.
_EXT_MEM_K = slice(2, 4)

#: struct boot_e820_entry: addr and size in bytes, packed.
E820_ENTRY = Struct(
    "addr" / Int64ul,  # 0x00
    "size" / Int64ul,  # 0x08
    "type" / Int32ul,  # 0x10
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EfiInfo:
    """struct efi_info: where the EFI system table and memory map lie; 32 bytes.

    With a signature of ``EL64`` or ``EL32`` the decompressor of 4.14 and later takes
    its candidates from this map and never looks at e820
    (arch/x86/boot/compressed/kaslr.c, process_efi_entries()).
    """

    efi_loader_signature: int = at(0x00, Int32ul)
    efi_systab: int = at(0x04, Int32ul)
    efi_memdesc_size: int = at(0x08, Int32ul)
    efi_memdesc_version: int = at(0x0C, Int32ul)
    efi_memmap: int = at(0x10, Int32ul)
    efi_memmap_size: int = at(0x14, Int32ul)
    efi_systab_hi: int = at(0x18, Int32ul)
    efi_memmap_hi: int = at(0x1C, Int32ul)

    @property
    def memmap_addr(self) -> int:
        """Return the map's physical address, both halves joined."""
        return self.efi_memmap_hi << 32 | self.efi_memmap


@dataclass(frozen=True, slots=True, kw_only=True)
class BootParams:
    """struct boot_params (arch/x86/include/uapi/asm/bootparam.h, 6.1 to 7.3).

    Every field is zero unless given; values compare and hash. Pads keep the kernel's
    names and their bytes, so that any 4096 bytes survive parsing and encoding. What
    nothing here looks into (the screen, APM, SpeedStep, OLPC, EDID, EDD) is bytes, too.
    """

    screen_info: bytes = at(0x000, Bytes(64))
    apm_bios_info: bytes = at(0x040, Bytes(20))
    _pad2: bytes = at(0x054, Bytes(4))
    tboot_addr: int = at(0x058, Int64ul)
    ist_info: bytes = at(0x060, Bytes(16))
    acpi_rsdp_addr: int = at(0x070, Int64ul)
    _pad3: bytes = at(0x078, Bytes(8))
    hd0_info: bytes = at(0x080, Bytes(16))
    hd1_info: bytes = at(0x090, Bytes(16))
    sys_desc_table: bytes = at(0x0A0, Bytes(16))
    olpc_ofw_header: bytes = at(0x0B0, Bytes(16))
    ext_ramdisk_image: int = at(0x0C0, Int32ul)
    ext_ramdisk_size: int = at(0x0C4, Int32ul)
    ext_cmd_line_ptr: int = at(0x0C8, Int32ul)
    _pad4: bytes = at(0x0CC, Bytes(112))
    cc_blob_address: int = at(0x13C, Int32ul)
    edid_info: bytes = at(0x140, Bytes(128))
    efi_info: EfiInfo = at(0x1C0, EfiInfo)
    alt_mem_k: int = at(0x1E0, Int32ul)
    scratch: int = at(0x1E4, Int32ul)
    e820_entries: int = at(0x1E8, Int8ul)
    eddbuf_entries: int = at(0x1E9, Int8ul)
    edd_mbr_sig_buf_entries: int = at(0x1EA, Int8ul)
    kbd_status: int = at(0x1EB, Int8ul)
    secure_boot: int = at(0x1EC, Int8ul)
    _pad5: bytes = at(0x1ED, Bytes(2))
    sentinel: int = at(0x1EF, Int8ul)
    _pad6: bytes = at(0x1F0, Bytes(1))
    hdr: SetupHeader = at(0x1F1, SetupHeader)
    _pad7: bytes = at(0x26C, Bytes(36))
    edd_mbr_sig_buffer: tuple[int, ...] = at(0x290, Int32ul, count=16)
    # All 128 slots as they are, filled or not; `e820_map` is the filled part.
    e820_table: bytes = at(
        E820_TABLE_OFFSET,
        Array(E820_MAX_ENTRIES_ZEROPAGE, E820_ENTRY),
        raw=True,
    )
    _pad8: bytes = at(0xCD0, Bytes(48))
    # Six times struct edd_info, 82 bytes each.
    eddbuf: bytes = at(0xD00, Bytes(6 * 82))
    _pad9: bytes = at(0xEEC, Bytes(276))

    @classmethod
    def zero(cls) -> Self:
        """Return the page of 4096 zero bytes."""
        return cls()

    @property
    def ext_mem_k(self) -> int:
        """Return screen_info.ext_mem_k: memory above 1 MiB in KiB.

        A kernel makes RAM of it when it refuses the e820 table.
        """
        return int.from_bytes(self.screen_info[_EXT_MEM_K], "little")

    def without_ext_mem_k(self) -> Self:
        """Return this page with no memory above 1 MiB in screen_info."""
        screen = bytearray(self.screen_info)
        screen[_EXT_MEM_K] = bytes(2)
        return replace(self, screen_info=bytes(screen))

    @property
    def e820_map(self) -> E820Array:
        """Return the first ``min(e820_entries, 128)`` slots, read-only.

        A count beyond 128 is not judged here; see ``validate_e820_count``.
        """
        count = min(self.e820_entries, E820_MAX_ENTRIES_ZEROPAGE)
        return parse_table(self.e820_table)[:count]

    def with_table(self, table: E820Array) -> Self:
        """Return this page with ``table`` as its map, the slots behind it zero.

        Raises:
            CapacityError: more entries than the zero page holds.
            InputError: not an e820 table.
        """
        entries = encode_table(table)
        if len(table) > E820_MAX_ENTRIES_ZEROPAGE:
            raise CapacityError(
                f"{len(table)} entries ({len(table):#x}) do not fit: the zero page"
                f" holds {E820_MAX_ENTRIES_ZEROPAGE}",
            )
        slots = entries.ljust(E820_MAX_ENTRIES_ZEROPAGE * E820_ENTRY_BYTES, b"\0")
        return replace(self, e820_entries=len(table), e820_table=slots)


#: The whole definition, the table's entries one by one.
BOOT_PARAMS = struct_of(BootParams)
BOOT_PARAMS_BYTES: int = BOOT_PARAMS.sizeof()  #: Bytes of the zero page, 4096.


def parse_boot_params(data: bytes) -> BootParams:
    """Return the value of exactly 4096 bytes, whatever they are.

    Raises:
        BadImageError: another length.
    """
    if len(data) != BOOT_PARAMS_BYTES:
        raise BadImageError(
            f"boot_params: got {len(data)} bytes (0x{len(data):x}),"
            f" want {BOOT_PARAMS_BYTES}",
        )
    return parse_value(BootParams, data, "boot_params")


def encode_boot_params(value: BootParams) -> bytes:
    """Return the 4096 bytes of a zero page.

    Raises:
        InputError: a field's value does not fit it.
    """
    return encode_value(value, "boot_params")


def validate_e820_count(value: BootParams) -> None:
    """Refuse a count for which the zero page has no slots.

    Kernels up to 4.11 die of it and later ones read what lies behind the table
    (append_e820_table() in arch/x86/kernel/e820.c has no bound, 4.14 to 7.3).

    Raises:
        BadImageError: e820_entries above 128.
    """
    count = value.e820_entries
    if count > E820_MAX_ENTRIES_ZEROPAGE:
        raise BadImageError(
            f"e820_entries is {count:#x} ({count}): the zero page holds"
            f" {E820_MAX_ENTRIES_ZEROPAGE}",
        )
