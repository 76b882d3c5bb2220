"""struct setup_header: what an image says and what its loader answers."""

from __future__ import annotations

from dataclasses import dataclass

from construct import Int8ul, Int16ul, Int32ul, Int64ul

from e820pool.abi.binding import at

__all__ = (
    "BOOT_FLAG",
    "HDRS_MAGIC",
    "LOADED_HIGH",
    "SETUP_HEADER_OFFSET",
    "XLF_5LEVEL",
    "XLF_5LEVEL_ENABLED",
    "XLF_KERNEL_64",
    "SetupHeader",
)

#: Where the header begins, in the zero page and in an image alike.
SETUP_HEADER_OFFSET = 0x1F1
#: boot_flag and header of every image since protocol 2.00; the latter is "HdrS".
BOOT_FLAG = 0xAA55
HDRS_MAGIC = 0x5372_6448  #: The letters HdrS.

# loadflags, arch/x86/include/uapi/asm/bootparam.h (6.1): what is asked or told here.
LOADED_HIGH = 1 << 0  #: loadflags: the kernel was loaded at 1 MiB or above (6.1).

# xloadflags, same file.
XLF_KERNEL_64 = 1 << 0  #: xloadflags: there is a 64-bit entry at 0x200.
XLF_5LEVEL = 1 << 5  #: xloadflags: knows five-level page tables.
XLF_5LEVEL_ENABLED = 1 << 6  #: xloadflags: uses them.


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupHeader:
    """struct setup_header; 123 bytes, offsets as in the zero page.

    An image of an older boot protocol does not fill every field.
    """

    setup_sects: int = at(0x1F1, Int8ul)
    root_flags: int = at(0x1F2, Int16ul)
    # Two bytes before 2.04; the upper two were swap_dev.
    syssize: int = at(0x1F4, Int32ul)
    ram_size: int = at(0x1F8, Int16ul)
    vid_mode: int = at(0x1FA, Int16ul)
    root_dev: int = at(0x1FC, Int16ul)
    boot_flag: int = at(0x1FE, Int16ul)
    jump: int = at(0x200, Int16ul)
    header: int = at(0x202, Int32ul)
    version: int = at(0x206, Int16ul)
    realmode_swtch: int = at(0x208, Int32ul)
    start_sys_seg: int = at(0x20C, Int16ul)
    kernel_version: int = at(0x20E, Int16ul)
    type_of_loader: int = at(0x210, Int8ul)
    loadflags: int = at(0x211, Int8ul)
    setup_move_size: int = at(0x212, Int16ul)
    code32_start: int = at(0x214, Int32ul)
    ramdisk_image: int = at(0x218, Int32ul)
    ramdisk_size: int = at(0x21C, Int32ul)
    bootsect_kludge: int = at(0x220, Int32ul)
    heap_end_ptr: int = at(0x224, Int16ul)
    ext_loader_ver: int = at(0x226, Int8ul)
    ext_loader_type: int = at(0x227, Int8ul)
    cmd_line_ptr: int = at(0x228, Int32ul)
    initrd_addr_max: int = at(0x22C, Int32ul)
    kernel_alignment: int = at(0x230, Int32ul)
    relocatable_kernel: int = at(0x234, Int8ul)
    min_alignment: int = at(0x235, Int8ul)
    xloadflags: int = at(0x236, Int16ul)
    cmdline_size: int = at(0x238, Int32ul)
    hardware_subarch: int = at(0x23C, Int32ul)
    hardware_subarch_data: int = at(0x240, Int64ul)
    payload_offset: int = at(0x248, Int32ul)
    payload_length: int = at(0x24C, Int32ul)
    setup_data: int = at(0x250, Int64ul)
    pref_address: int = at(0x258, Int64ul)
    init_size: int = at(0x260, Int32ul)
    handover_offset: int = at(0x264, Int32ul)
    kernel_info_offset: int = at(0x268, Int32ul)
