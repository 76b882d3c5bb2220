"""Where the next kernel is loaded and what its decompressor overwrites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import InputError
from e820pool.extents import PAGE_SIZE, Span
from e820pool.handoff.placement import PLACEMENT_LIMIT

if TYPE_CHECKING:
    from e820pool.abi.bzimage import BzImage
    from e820pool.handoff.placement import Room

__all__ = ("place_kernel",)

_WHAT = "the kernel window [P, P + init_size)"


def place_kernel(image: BzImage, room: Room, addr: int | None) -> Span:
    """Take the bytes in which the decompressor of ``image`` works.

    P is where head_64.S moves the image before it reads any map
    (arch/x86/boot/compressed/head_64.S); a deposit under it would be overwritten,
    and later e820_add_kernel_range() would make it RAM.

    Args:
        image: the next kernel.
        room: RAM that is still free.
        addr: the load address the user wants, None to choose one: the kernel's
            preferred address, else the lowest place above it that fits.

    Returns:
        ``(P, P + init_size)`` in bytes.

    Raises:
        InputError: the window would cover a deposit, what is not RAM, or another
            part.
        CapacityError: no place is large enough.
    """
    load_addr = image.pref_address if addr is None else addr
    start, end = image.kernel_window(load_addr)
    size = max(end - start, image.protected_mode_size)
    if addr is not None and start != addr:
        raise InputError(
            f"the kernel loaded at {addr:#x} would run at {start:#x}: load it there "
            f"(alignment {image.kernel_alignment:#x})"
        )
    if addr is None and image.relocatable:
        start = _near(room, start, size, max(image.kernel_alignment, PAGE_SIZE))
    else:
        _claim(room, start, size)
    return Span.at(start, size)


def _near(room: Room, start: int, size: int, align: int) -> int:
    try:
        return _claim(room, start, size)
    except InputError:
        return room.find(_WHAT, size, align=align, low=start)


def _claim(room: Room, start: int, size: int) -> int:
    if start + size > PLACEMENT_LIMIT:
        raise InputError(
            f"{_WHAT} at {Span(start, start + size)}: the 32-bit protocol's limit "
            f"is {PLACEMENT_LIMIT:#x}"
        )
    return room.claim(_WHAT, start, size)
