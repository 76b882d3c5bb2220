"""A handoff and a kernel as one file that any Multiboot loader boots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.bzimage import parse_bzimage
from e820pool.loading.bind import bind_kernel, kernel_bytes, room_of
from e820pool.loading.multiboot_stub import build_image_elf, image_bytes

if TYPE_CHECKING:
    from e820pool.handoff.model import Handoff

__all__ = ("handoff_image",)


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
    room = room_of(handoff)
    for part in bound.parts:
        room.occupy(part.what, part.addr, len(part.data))
    if bound.handoff.kernel_window is not None:
        start, end = bound.handoff.kernel_window
        room.occupy("the kernel", start, end - start)
    # GRUB and QEMU load below 4 GiB, and below 1 MiB lies firmware.
    addr = room.find("the image", image_bytes(parts))
    return build_image_elf(parts, addr=addr, entry=bound.entry)
