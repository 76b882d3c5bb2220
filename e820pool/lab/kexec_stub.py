"""Machine code that kexec_load(2) jumps to, and that enters a kernel in 64-bit mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.multiboot_elf import encode_gdt, encode_gdt_pointer
from e820pool.extents import round_up

if TYPE_CHECKING:
    from e820pool.lab.stub import KernelEntry

__all__ = ("build_kexec_stub",)

# startup_64 from the load address on (Documentation/arch/x86/boot.rst, "64-bit Boot
# Protocol").
_ENTRY_64_OFFSET = 0x200

# __BOOT_CS and __BOOT_DS: 64-bit code and flat data (Intel SDM volume 3, 3.4.5).
_BOOT_CS, _BOOT_DS = 0x10, 0x18
_GDT = (0, 0, 0x00AF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF)

# The stack that the far return uses: the end of the stub's own page.
_STACK_OFFSET = 0x1000

_CLI = b"\xfa"
_CLD = b"\xfc"
# mov eax to ds, es, ss, fs, gs
_LOAD_SEGMENTS = b"\x8e\xd8\x8e\xc0\x8e\xd0\x8e\xe0\x8e\xe8"
_CLEAR_REGISTERS = b"\x31\xed\x31\xff\x31\xdb"
_FAR_RETURN = b"\x48\xcb"


def build_kexec_stub(*, addr: int, entry: KernelEntry) -> bytes:
    """Return the stub for the page at ``addr``, which is also where it is entered.

    The old kernel left paging on, with all its RAM and every segment mapped one to
    one (arch/x86/kernel/machine_kexec_64.c init_pgtable()).
    """
    length = len(_code(0, addr, entry))
    gdt = encode_gdt(_GDT)
    gdt_addr = addr + round_up(length, 8)
    pointer_addr = gdt_addr + len(gdt)
    code = _code(pointer_addr, addr, entry).ljust(gdt_addr - addr, b"\0")
    # In 64-bit mode lgdt reads a base of 8 bytes.
    return code + gdt + encode_gdt_pointer(gdt_addr, len(gdt)) + bytes(4)


def _code(gdt_pointer_addr: int, addr: int, entry: KernelEntry) -> bytes:
    kernel = entry.kernel_addr + _ENTRY_64_OFFSET
    return b"".join(
        (
            _CLI,
            _CLD,
            b"\x48\xbc" + _u64(addr + _STACK_OFFSET),  # mov rsp, stack
            b"\x48\xb8" + _u64(gdt_pointer_addr),  # mov rax, pointer
            b"\x0f\x01\x10",  # lgdt [rax]
            b"\xb8" + _BOOT_DS.to_bytes(4, "little") + _LOAD_SEGMENTS,
            _CLEAR_REGISTERS,
            b"\x48\xbe" + _u64(entry.boot_params_addr),  # mov rsi, boot_params
            b"\x48\xb8" + _u64(kernel),  # mov rax, kernel
            b"\x6a" + bytes([_BOOT_CS]),  # push selector
            b"\x50",  # push rax
            _FAR_RETURN,
        )
    )


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "little")
