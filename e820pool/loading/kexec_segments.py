"""What kexec_load(2) is given: our parts as segments, and the code that it enters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from e820pool.abi.multiboot_elf import encode_gdt, encode_gdt_pointer
from e820pool.errors import CapacityError, InputError
from e820pool.extents import PAGE_SIZE, ByteRangeSet, ExtentSet, round_up
from e820pool.handoff.model import Segment

if TYPE_CHECKING:
    from e820pool.loading.bind import BoundKernel
    from e820pool.loading.multiboot_stub import KernelEntry

__all__ = ("KexecImage", "KexecSegment", "build_kexec_stub", "kexec_image")

# KEXEC_SEGMENT_MAX (uapi/linux/kexec.h).
_MAX_SEGMENTS = 16

# startup_64 from the load address on (Documentation/arch/x86/boot.rst, "64-bit Boot
# Protocol").
_ENTRY_64_OFFSET = 0x200

# __BOOT_CS and __BOOT_DS: 64-bit code and flat data (Intel SDM volume 3, 3.4.5).
_BOOT_CS, _BOOT_DS = 0x10, 0x18
# Behind them a task state, which kernels before 3.8 load though nothing ever uses it
# (2.6.32 arch/x86/boot/compressed/head_64.S startup_64).
_GDT = (0, 0, 0x00AF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF, 0x0080_8900_0000_0000, 0)

# The stack that the far return uses: the end of the stub's own page.
_STACK_OFFSET = 0x1000

_CLI = b"\xfa"
_CLD = b"\xfc"
# mov eax to ds, es, ss, fs, gs
_LOAD_SEGMENTS = b"\x8e\xd8\x8e\xc0\x8e\xd0\x8e\xe0\x8e\xe8"
_CLEAR_REGISTERS = b"\x31\xed\x31\xff\x31\xdb"
_FAR_RETURN = b"\x48\xcb"


@dataclass(frozen=True, slots=True, kw_only=True)
class KexecSegment:
    """One segment of a kexec.

    Attributes:
        at: where its bytes begin in the payload.
        nr_bytes: how many; the rest of ``size`` is zeros.
        addr: where it goes, a page.
    """

    what: str
    at: int
    nr_bytes: int
    addr: int
    size: int

    @property
    def end(self) -> int:
        """Return the exclusive end address."""
        return self.addr + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class KexecImage:
    """What kexec_load(2) is given.

    Attributes:
        payload: the bytes of all segments, each from a page on.
        segments: in the order of their addresses.
        entry: the address that the old kernel jumps to.
    """

    payload: bytes
    segments: tuple[KexecSegment, ...]
    entry: int

    def pages(self) -> ExtentSet:
        """Return the pages that the old kernel overwrites when it leaves."""
        spans = [(segment.addr, segment.end) for segment in self.segments]
        return ByteRangeSet(spans).pages_touched()


def kexec_image(bound: BoundKernel) -> KexecImage:
    """Return the segments that put a bound kernel in place.

    The kernel's segment is as long as its window: the old kernel then keeps its page
    tables and its copying loop out of the range that the decompressor overwrites
    (kernel/kexec_core.c kimage_alloc_normal_control_pages()).

    Raises:
        InputError: a segment would lie under a deposit, which the kernel does not
            check, or two overlap.
        CapacityError: more segments than the system call takes.
    """
    stub = build_kexec_stub(addr=bound.stub_addr, entry=bound.entry)
    parts = [*bound.parts, Segment(what="stub", addr=bound.stub_addr, data=stub)]
    window = bound.handoff.kernel_window
    if len(parts) > _MAX_SEGMENTS:
        raise CapacityError(
            f"{len(parts)} segments do not fit: the limit is {_MAX_SEGMENTS}"
        )
    at, segments, pieces = 0, [], []
    for part in sorted(parts, key=lambda part: part.addr):
        if part.addr % PAGE_SIZE:
            raise InputError(
                f"{part.what} at {part.addr:#x}: kexec_load(2) wants a multiple of "
                f"{PAGE_SIZE:#x}"
            )
        nr_bytes = size = len(part.data)
        if part.what == "kernel" and window is not None:
            size = max(window[1] - window[0], size)
        segments.append(
            KexecSegment(
                what=part.what,
                at=at,
                nr_bytes=nr_bytes,
                addr=part.addr,
                size=round_up(size, PAGE_SIZE),
            )
        )
        # Joined once: an initrd may fill much of the memory that there is.
        pieces += [part.data, bytes(-nr_bytes % PAGE_SIZE)]
        at += round_up(nr_bytes, PAGE_SIZE)
    for lower, upper in pairwise(segments):
        if upper.addr < lower.end:
            raise InputError(
                f"{lower.what} ends at {lower.end:#x}, over {upper.what} at "
                f"{upper.addr:#x}"
            )
    image = KexecImage(
        payload=b"".join(pieces), segments=tuple(segments), entry=bound.stub_addr
    )
    for start, end in image.pages() & bound.handoff.ledger.extents:
        raise InputError(
            f"kexec segments cover deposited PFNs [{start:#x}, {end:#x}): the old "
            "kernel would overwrite them"
        )
    return image


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
