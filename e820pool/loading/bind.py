"""What a loader adds to a handoff: one kernel, its header, an initrd, their places."""

from __future__ import annotations

from dataclasses import dataclass, replace

from e820pool.abi.bzimage import BzImage, parse_bzimage
from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.errors import CapacityError
from e820pool.extents import PAGE_SIZE, ByteRangeSet, ExtentSet, Span
from e820pool.handoff.build import bind_header
from e820pool.handoff.model import COMMAND_LINE_SIZE, Handoff, Segment
from e820pool.handoff.placement import PLACEMENT_LIMIT, Room
from e820pool.loading.kernel_file import KernelFile, parse_image
from e820pool.loading.multiboot_stub import (
    STUB_BYTES,
    KernelEntry,
    build_image_elf,
    image_bytes,
)

__all__ = (
    "BoundKernel",
    "backed_pages",
    "bind",
    "bind_kernel",
    "handoff_image",
    "room_of",
)

_ONE_MIB = 1 << 20
_KIB = 1 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundKernel:
    """A handoff made complete for one kernel, and everything to load.

    Attributes:
        handoff: with that kernel's own header, the initrd and the longer command
            line: what the model has to be asked about.
        parts: all that lies in memory when the kernel is entered.
        entry: the load address and the zero page's.
        stub_addr: :data:`.STUB_BYTES` of free RAM.
    """

    handoff: Handoff
    parts: tuple[Segment, ...]
    entry: KernelEntry
    stub_addr: int


def bind_kernel(
    handoff: Handoff,
    kernel: bytes,
    *,
    image: BzImage | None = None,
    initrd: bytes = b"",
    extra_cmdline: str = "",
) -> BoundKernel:
    """Return the handoff as a loader of this kernel completes it.

    A handoff that was built for this kernel keeps its window; any other gets one in
    RAM, outside deposits. Nothing else of it changes but the header, which is the
    image's own, the initrd's place, and words at the end of the command line.

    Args:
        handoff: what the next kernel is to get.
        kernel: the whole bzImage file.
        image: what is known of it, where that is more than it says of itself.
        initrd: an initial RAM file system, or nothing.
        extra_cmdline: words to add to the command line.

    Raises:
        BadImageError: the kernel is no bzImage.
        CapacityError: command line, kernel, initrd or stub have no place.
    """
    image = image or parse_bzimage(kernel)
    # What is loaded at the load address: the file from its second part on.
    code = kernel[image.protected_mode_offset :]
    cmdline = _longer_cmdline(handoff, image, extra_cmdline)
    room = room_of(handoff)
    window = _kernel_place(handoff, image, len(code), room)
    start = window.start
    initrd_at = _initrd_place(handoff, image, len(initrd), room)
    stub_addr = room.find("the boot stub", STUB_BYTES)
    page = bind_header(handoff.boot_params, image, start)
    hdr = replace(
        page.hdr,
        cmd_line_ptr=handoff.cmdline_addr,
        ramdisk_image=initrd_at if initrd else 0,
        ramdisk_size=len(initrd),
    )
    bound = replace(
        handoff,
        boot_params=replace(page, hdr=hdr),
        cmdline=cmdline,
        kernel_window=window,
        initrd=Span.at(initrd_at, len(initrd)) if initrd else None,
    )
    parts = list(bound.segments())
    parts.append(Segment(what="kernel", addr=start, data=code))
    if initrd:
        parts.append(Segment(what="initrd", addr=initrd_at, data=initrd))
    entry = KernelEntry(kernel_addr=start, boot_params_addr=handoff.boot_params_addr)
    return BoundKernel(
        handoff=bound, parts=tuple(parts), entry=entry, stub_addr=stub_addr
    )


def bind(handoff: Handoff, kernel: KernelFile) -> Handoff:
    """Return the handoff as a loader of this kernel completes it: header and place.

    Raises:
        BadImageError: it is no bzImage.
        CapacityError: it has no place in RAM outside deposits.
    """
    image = parse_image(kernel.image)
    return bind_kernel(handoff, kernel.image, image=image).handoff


def handoff_image(handoff: Handoff, kernel: bytes, initrd: bytes = b"") -> bytes:
    """Return an ELF file that any Multiboot loader boots, with all that it needs.

    It holds stub, boot_params, nodes, kernel and initrd.

    Args:
        handoff: what the kernel gets; its command line is left as it is.
        kernel: the whole bzImage file.
        initrd: put where the kernel accepts it, or nothing.

    Raises:
        BadImageError: the kernel is no bzImage.
        CapacityError: the parts, or the file itself, have no place in RAM.
    """
    bound = bind_kernel(handoff, kernel, initrd=initrd)
    parts = [(part.addr, part.data) for part in bound.parts]
    room = room_of(handoff)
    for part in bound.parts:
        room.occupy(part.what, part.addr, len(part.data))
    if window := bound.handoff.kernel_window:
        room.occupy("the kernel", window.start, window.size)
    # GRUB and QEMU load below 4 GiB, and below 1 MiB lies firmware.
    addr = room.find("the image", image_bytes(parts))
    return build_image_elf(parts, addr=addr, entry=bound.entry)


def room_of(handoff: Handoff) -> Room:
    """Return where more can be placed: RAM that no entry, deposit or part contradicts.

    The table may be any: overlapping, unsorted, wrapping.
    """
    room = Room.in_table(handoff.table, handoff.ledger.extents.to_bytes())
    for part in handoff.segments():
        if part.what != "cmdline":
            room.occupy(part.what, part.addr, len(part.data))
    room.occupy("cmdline", handoff.cmdline_addr, COMMAND_LINE_SIZE)
    return room


def backed_pages(bound: BoundKernel) -> ExtentSet:
    """Return the pages that a machine needs for this boot.

    That is all RAM of the table, the fallback map's too, the deposits (or nobody
    could see them touched), the parts, and the first MiB.
    """
    handoff = bound.handoff
    # No machine has RAM up to 2^64, and every kernel refuses a table that says so.
    table = handoff.table.where(~handoff.table.reaches_top)
    pages = table.bytes_of(E820_TYPE_RAM).pages_touched()
    page = handoff.boot_params
    spans = [(part.addr, part.end) for part in bound.parts]
    spans += [w for w in (handoff.kernel_window,) if w]
    spans.append((bound.stub_addr, bound.stub_addr + STUB_BYTES))
    above = max(page.alt_mem_k, page.ext_mem_k)
    spans.append((0, _ONE_MIB + above * _KIB))
    return pages | handoff.ledger.extents | ByteRangeSet(spans).pages_touched()


def _longer_cmdline(handoff: Handoff, image: BzImage, extra: str) -> bytes:
    line = b" ".join(filter(None, (handoff.cmdline, extra.encode("latin-1"))))
    limit = min(COMMAND_LINE_SIZE - 1, image.cmdline_size or COMMAND_LINE_SIZE - 1)
    if len(line) > limit:
        raise CapacityError(
            f"command line of {len(line):#x} bytes, {len(extra):#x} of them added, "
            f"does not fit: the kernel reads {limit:#x}"
        )
    return line


def _kernel_place(
    handoff: Handoff, image: BzImage, file_bytes: int, room: Room
) -> Span:
    preferred = image.kernel_window(image.pref_address)
    start, size = preferred.start, max(preferred.size, file_bytes)
    at = start
    built_at = handoff.kernel_window.start if handoff.kernel_window else start
    if image.kernel_window(built_at).start == built_at and room.is_free(built_at, size):
        at = built_at
    elif image.relocatable and not room.is_free(start, size):
        step = max(image.kernel_alignment, PAGE_SIZE)
        at = room.find("the kernel", size, align=step, low=start)
        return Span.at(at, size)
    # A kernel that cannot be moved is put where it must be, whatever lies there.
    room.occupy("the kernel", at, size)
    return Span.at(at, size)


def _initrd_place(handoff: Handoff, image: BzImage, size: int, room: Room) -> int:
    if handoff.initrd is not None and room.is_free(handoff.initrd.start, size):
        return room.claim("the initrd", handoff.initrd.start, size)
    top = min(image.initrd_addr_max + 1, PLACEMENT_LIMIT)
    return room.find("the initrd", size, high=top)
