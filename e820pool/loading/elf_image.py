"""A handoff and a kernel as one file that any Multiboot loader boots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import CapacityError
from e820pool.extents import PAGE_SIZE, ByteRangeSet, round_up
from e820pool.loading.bind import bind_kernel, free_ram, kernel_bytes
from e820pool.loading.multiboot_stub import build_image_elf, image_bytes

if TYPE_CHECKING:
    from e820pool.handoff.model import Handoff

__all__ = ("handoff_image",)

# GRUB and QEMU load below 4 GiB, and below 1 MiB lies firmware.
_LOW, _HIGH = 1 << 20, 1 << 32


def handoff_image(handoff: Handoff, kernel: bytes, initrd: bytes = b"") -> bytes:
    """Return a self-contained ELF file: stub, boot_params, nodes, kernel, initrd.

    Args:
        handoff: what the kernel gets; its command line is left as it is.
        kernel: the whole bzImage file.
        initrd: put where the kernel accepts it, or nothing.

    Raises:
        BadImageError: the kernel is no bzImage.
        CapacityError: the parts, or the file itself, have no place in RAM.
    """
    image = parse_bzimage(kernel)
    bound = bind_kernel(handoff, image, kernel_bytes(image, kernel), initrd=initrd)
    parts = [(part.addr, part.data) for part in bound.parts]
    taken = ByteRangeSet(
        [*((at, at + len(data)) for at, data in parts), *_window(bound.handoff)]
    )
    addr = _place(free_ram(handoff) - taken, image_bytes(parts))
    return build_image_elf(parts, addr=addr, entry=bound.entry)


def _window(handoff: Handoff) -> list[tuple[int, int]]:
    return [handoff.kernel_window] if handoff.kernel_window else []


def _place(free: ByteRangeSet, size: int) -> int:
    largest = 0
    for start, end in free & ByteRangeSet([(_LOW, _HIGH)]):
        at = round_up(start, PAGE_SIZE)
        if at + size <= end:
            return at
        largest = max(largest, end - at)
    raise CapacityError(
        f"a file of {size:#x} bytes has no place in RAM below {_HIGH:#x}: the largest "
        f"free run has {largest:#x}"
    )
