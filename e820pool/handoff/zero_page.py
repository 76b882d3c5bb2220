"""The zero page of a handoff: the kernel's own header, our table, our pointers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    BootParams,
    EfiInfo,
    parse_boot_params,
)
from e820pool.abi.setup_header import (
    BOOT_FLAG,
    HDRS_MAGIC,
    LOADED_HIGH,
    SETUP_HEADER_OFFSET,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.abi.bzimage import BzImage
    from e820pool.extents import Span

__all__ = ("bind_header", "zero_page")

# An unregistered loader; 0 would make kernels ignore the initrd
# (Documentation/arch/x86/boot.rst, type_of_loader).
_TYPE_OF_LOADER = 0xFF
_PROTOCOL = 0x020F
_PREF_ADDRESS = 0x0100_0000


def bind_header(page: BootParams, kernel: BzImage, load_addr: int) -> BootParams:
    """Return ``page`` with the kernel's own setup_header under our pointers.

    As many bytes are copied as the image's header has; decompressors since 4.9
    read init_size and kernel_alignment from here (head_64.S), so that a made-up
    value would move the window.
    """
    raw = bytearray(BOOT_PARAMS_BYTES)
    end = SETUP_HEADER_OFFSET + len(kernel.setup_header)
    raw[SETUP_HEADER_OFFSET:end] = kernel.setup_header
    ours = page.hdr
    hdr = replace(
        parse_boot_params(bytes(raw)).hdr,
        type_of_loader=_TYPE_OF_LOADER,
        code32_start=load_addr,
        cmd_line_ptr=ours.cmd_line_ptr,
        ramdisk_image=ours.ramdisk_image,
        ramdisk_size=ours.ramdisk_size,
        setup_data=ours.setup_data,
    )
    return replace(page, hdr=hdr)


def zero_page(
    *,
    table: NDArray[Any],
    setup_data: int,
    cmdline_addr: int,
    initrd: Span | None,
    kernel: BzImage | None,
    load_addr: int | None,
    efi_info: EfiInfo | None = None,
) -> BootParams:
    """Return a zero page with ``table`` (at most 128 rows) and all else zero.

    Without a kernel the header is that of a relocatable 2.15 one; a loader that
    has the image replaces it.
    """
    blank = BootParams.zero()
    start, end = initrd or (0, 0)
    hdr = replace(
        blank.hdr,
        boot_flag=BOOT_FLAG,
        header=HDRS_MAGIC,
        version=_PROTOCOL,
        type_of_loader=_TYPE_OF_LOADER,
        loadflags=LOADED_HIGH,
        kernel_alignment=1 << 21,
        relocatable_kernel=1,
        min_alignment=21,
        cmdline_size=2047,
        pref_address=_PREF_ADDRESS,
        code32_start=_PREF_ADDRESS,
        setup_data=setup_data,
        cmd_line_ptr=cmdline_addr,
        ramdisk_image=start,
        ramdisk_size=end - start,
    )
    page = replace(blank, hdr=hdr).with_table(table)
    page = replace(page, efi_info=efi_info or page.efi_info)
    if kernel is None or load_addr is None:
        return page
    return bind_header(page, kernel, load_addr)
