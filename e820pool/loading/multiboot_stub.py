"""Machine code that enters a kernel by the 32-bit boot protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.abi.multiboot_elf import (
    encode_gdt,
    encode_gdt_pointer,
    encode_multiboot_elf,
    encode_multiboot_header,
)
from e820pool.errors import InputError
from e820pool.extents import Span, round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "STUB_BYTES",
    "STUB_READY",
    "STUB_RESUME",
    "KernelEntry",
    "build_image_elf",
    "build_stub_elf",
    "image_bytes",
)

STUB_BYTES = 0x1_0000
"""Memory to keep free at the stub's address: its code, and the Multiboot
information that QEMU (hw/i386/multiboot.c, 7.2) puts behind it."""

STUB_READY = b"\x05"
"""What a waiting stub writes to the second serial port once it runs (ASCII ENQ)."""

STUB_RESUME = b"\x06"
"""Any byte lets the stub go on; this is the one that the lab sends (ASCII ACK)."""

# __BOOT_CS and __BOOT_DS (Documentation/arch/x86/boot.rst, "32-bit Boot Protocol").
_BOOT_CS, _BOOT_DS = 0x10, 0x18

# Flat 4 GiB segments, present, ring 0 (Intel SDM volume 3, 3.4.5): code
# execute/read at 0x10, data read/write at 0x18.
_GDT = (0, 0, 0x00CF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF)

# Second serial port: transmit/receive register, and line status at +5.
_COM2 = 0x2F8
_LINE_STATUS = _COM2 + 5

_CLI = b"\xfa"
_CLD = b"\xfc"
_MOVSB_REPEATED = b"\xf3\xa4"
# mov eax to ds, es, fs, gs, ss
_LOAD_SEGMENTS = b"\x8e\xd8\x8e\xc0\x8e\xe0\x8e\xe8\x8e\xd0"
# boot.rst: ebp, edi and ebx must be zero
_CLEAR_REGISTERS = b"\x31\xed\x31\xff\x31\xdb"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEntry:
    """Where the stub jumps, and with what.

    Attributes:
        kernel_addr: where the protected-mode part of the bzImage starts.
        boot_params_addr: the zero page, given to the kernel in esi.
    """

    kernel_addr: int
    boot_params_addr: int


def build_stub_elf(*, addr: int, entry: KernelEntry, wait: bool) -> bytes:
    """Return the ELF file of the stub, to be loaded at ``addr``.

    Args:
        addr: a page; :data:`STUB_BYTES` from there on are the stub's.
        entry: what it enters.
        wait: whether it first reports on the second serial port and waits for a
            byte: the moment at which firmware is done and no kernel has run.
    """
    body = _rendezvous() if wait else b""
    return _assemble(addr, body, entry, payload=b"")


def image_bytes(parts: Sequence[tuple[int, bytes]]) -> int:
    """Return the memory to keep free at the address of a self-contained image."""
    # Once for the stub before the parts, once for what a loader puts behind them.
    return 2 * STUB_BYTES + sum(len(data) for _, data in parts)


def build_image_elf(
    parts: Sequence[tuple[int, bytes]], *, addr: int, entry: KernelEntry
) -> bytes:
    """Return one self-contained ELF file that any Multiboot loader boots.

    The parts lie packed behind the stub, which copies each to its place: a loader
    such as QEMU's writes all memory between an ELF file's first and last byte,
    deposits included.

    Args:
        parts: ``(addr, bytes)`` of each part, the kernel's among them.
        addr: a page; :func:`image_bytes` from there on are the image's.
        entry: what it enters.

    Raises:
        InputError: a part's place overlaps the packed file.
    """
    payload = b"".join(data for _, data in parts)
    end = addr + image_bytes(parts)
    for at, data in parts:
        if at < end and addr < at + len(data):
            raise InputError(
                f"image at {Span(addr, end)} overlaps the part that belongs at "
                f"{Span(at, at + len(data))}"
            )
    source, copies = addr + STUB_BYTES, b""
    for at, data in parts:
        copies += _copy(source, at, len(data))
        source += len(data)
    return _assemble(addr, copies, entry, payload=payload)


# multiboot header | code | GDT | GDT pointer [| payload at STUB_BYTES]
def _assemble(addr: int, body: bytes, entry: KernelEntry, *, payload: bytes) -> bytes:
    header = encode_multiboot_header()
    length = len(_code(0, body, entry))
    gdt = encode_gdt(_GDT)
    gdt_addr = round_up(addr + len(header) + length, 8)
    pointer_addr = gdt_addr + len(gdt)
    content = header + _code(pointer_addr, body, entry)
    content = content.ljust(gdt_addr - addr, b"\0")
    content += gdt + encode_gdt_pointer(gdt_addr, len(gdt))
    if payload:
        content = content.ljust(STUB_BYTES, b"\0") + payload
    return encode_multiboot_elf(addr=addr, entry=addr + len(header), content=content)


# A Multiboot loader enters with flat segments and paging off, interrupts off.
def _code(gdt_pointer_addr: int, body: bytes, entry: KernelEntry) -> bytes:
    return b"".join(
        (
            _CLI,
            _CLD,
            b"\x0f\x01\x15" + _u32(gdt_pointer_addr),  # lgdt [pointer]
            b"\xb8" + _u32(_BOOT_DS) + _LOAD_SEGMENTS,  # mov eax, selector
            body,
            b"\xbe" + _u32(entry.boot_params_addr),  # mov esi, boot_params
            _CLEAR_REGISTERS,
            b"\xea" + _u32(entry.kernel_addr) + _u16(_BOOT_CS),  # jmp far
        )
    )


def _rendezvous() -> bytes:
    return b"".join(
        (
            b"\x66\xba" + _u16(_COM2),  # mov dx, COM2
            b"\xb0" + STUB_READY,  # mov al, ready
            b"\xee",  # out dx, al
            b"\x66\xba" + _u16(_LINE_STATUS),  # mov dx, line status
            b"\xec",  # again: in al, dx
            b"\xa8\x01",  # test al, data ready
            b"\x74\xfb",  # jz again
            b"\x66\xba" + _u16(_COM2),  # mov dx, COM2
            b"\xec",  # in al, dx: take the byte, the port is clean for the kernel
        )
    )


def _copy(source: int, target: int, size: int) -> bytes:
    return b"".join(
        (
            b"\xbe" + _u32(source),  # mov esi, source
            b"\xbf" + _u32(target),  # mov edi, target
            b"\xb9" + _u32(size),  # mov ecx, size
            _MOVSB_REPEATED,
        )
    )


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "little")
