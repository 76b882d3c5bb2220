"""32-bit ELF executables with a Multiboot header, as QEMU and GRUB load them."""

from __future__ import annotations

from construct import Const, Int16ul, Int32ul, Int64ul, Struct

from e820pool.abi.layout import build_bytes
from e820pool.errors import InputError

__all__ = (
    "MULTIBOOT_MAGIC",
    "encode_gdt",
    "encode_gdt_pointer",
    "encode_multiboot_elf",
    "encode_multiboot_header",
)

MULTIBOOT_MAGIC = 0x1BAD_B002
"""First word of the header (Multiboot specification 0.6.96, section 3.1.1)."""

_U32 = 1 << 32

# The loader looks for the header in the first 8 KiB of the file; the segment's
# bytes start on the second page so that file offset and address agree modulo 4096.
_SEGMENT_OFFSET = 0x1000

MULTIBOOT_HEADER = Struct(
    "magic" / Int32ul,  # 0x00
    "flags" / Int32ul,  # 0x04
    "checksum" / Int32ul,  # 0x08, makes the three words sum to 0
)

# Elf32_Ehdr, System V ABI gABI 4.1, "ELF Header".
ELF32_HEADER = Struct(
    "magic" / Const(b"\x7fELF"),  # 0x00
    "class_data_version" / Const(b"\x01\x01\x01"),  # 0x04: 32-bit, little-endian, 1
    "padding" / Const(bytes(9)),  # 0x07
    "type" / Const(2, Int16ul),  # 0x10: ET_EXEC
    "machine" / Const(3, Int16ul),  # 0x12: EM_386
    "version" / Const(1, Int32ul),  # 0x14
    "entry" / Int32ul,  # 0x18
    "phoff" / Const(0x34, Int32ul),  # 0x1c
    "shoff" / Const(0, Int32ul),  # 0x20
    "flags" / Const(0, Int32ul),  # 0x24
    "ehsize" / Const(0x34, Int16ul),  # 0x28
    "phentsize" / Const(0x20, Int16ul),  # 0x2a
    "phnum" / Const(1, Int16ul),  # 0x2c
    "shentsize" / Const(0, Int16ul),  # 0x2e
    "shnum" / Const(0, Int16ul),  # 0x30
    "shstrndx" / Const(0, Int16ul),  # 0x32
)

# Elf32_Phdr, same source, "Program Header".
ELF32_PROGRAM_HEADER = Struct(
    "type" / Const(1, Int32ul),  # 0x00: PT_LOAD
    "offset" / Int32ul,  # 0x04
    "vaddr" / Int32ul,  # 0x08
    "paddr" / Int32ul,  # 0x0c
    "filesz" / Int32ul,  # 0x10
    "memsz" / Int32ul,  # 0x14
    "flags" / Const(7, Int32ul),  # 0x18: read, write, execute
    "align" / Const(0x1000, Int32ul),  # 0x1c
)

# Operand of LGDT in 32-bit mode (Intel SDM volume 3, 3.5.1).
GDT_POINTER = Struct(
    "limit" / Int16ul,  # 0x00, size in bytes less one
    "base" / Int32ul,  # 0x02
)


def encode_multiboot_header() -> bytes:
    """Return the 12-byte header that asks the loader for nothing special."""
    value = {"magic": MULTIBOOT_MAGIC, "flags": 0, "checksum": _U32 - MULTIBOOT_MAGIC}
    return build_bytes(MULTIBOOT_HEADER, value, "multiboot header")


def encode_gdt(descriptors: tuple[int, ...]) -> bytes:
    """Return a descriptor table of 8-byte descriptors, selector 0 first."""
    return b"".join(
        build_bytes(Int64ul, descriptor, "segment descriptor")
        for descriptor in descriptors
    )


def encode_gdt_pointer(gdt_addr: int, gdt_bytes: int) -> bytes:
    """Return LGDT's 6-byte operand for a table of ``gdt_bytes`` at ``gdt_addr``."""
    value = {"limit": gdt_bytes - 1, "base": gdt_addr}
    return build_bytes(GDT_POINTER, value, "GDT pointer")


def encode_multiboot_elf(*, addr: int, entry: int, content: bytes) -> bytes:
    """Return an ELF file whose one segment puts ``content`` at ``addr``.

    Args:
        addr: where it is loaded, a multiple of 4 KiB below 4 GiB.
        entry: address of the first instruction, inside the content.
        content: must hold the Multiboot header in its first 4 KiB.

    Raises:
        InputError: the address is not page aligned, or the content does not fit
            below 4 GiB.
    """
    if addr % 0x1000 or addr + len(content) > _U32:
        raise InputError(
            f"segment at {addr:#x} of {len(content):#x} bytes must start on a page "
            f"and end by {_U32:#x}"
        )
    program = {
        "offset": _SEGMENT_OFFSET,
        "vaddr": addr,
        "paddr": addr,
        "filesz": len(content),
        "memsz": len(content),
    }
    head = build_bytes(ELF32_HEADER, {"entry": entry}, "ELF header")
    head += build_bytes(ELF32_PROGRAM_HEADER, program, "ELF program header")
    return head.ljust(_SEGMENT_OFFSET, b"\0") + content
