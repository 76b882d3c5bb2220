"""struct setup_header: what an image says and what its loader answers."""

from __future__ import annotations

from dataclasses import dataclass

from construct import Int8ul, Int16ul, Int32ul, Int64ul

from e820pool.abi.binding import at

__all__ = (
    "BOOT_FLAG",
    "CAN_USE_HEAP",
    "HDRS_MAGIC",
    "KASLR_FLAG",
    "KEEP_SEGMENTS",
    "LOADED_HIGH",
    "QUIET_FLAG",
    "SETUP_HEADER_OFFSET",
    "XLF_5LEVEL",
    "XLF_5LEVEL_ENABLED",
    "XLF_CAN_BE_LOADED_ABOVE_4G",
    "XLF_EFI_HANDOVER_32",
    "XLF_EFI_HANDOVER_64",
    "XLF_EFI_KEXEC",
    "XLF_KERNEL_64",
    "XLF_MEM_ENCRYPTION",
    "SetupHeader",
)

#: Where the header begins, in the zero page and in an image alike.
SETUP_HEADER_OFFSET = 0x1F1
#: boot_flag and header of every image since protocol 2.00; the latter is "HdrS".
BOOT_FLAG = 0xAA55
HDRS_MAGIC = 0x5372_6448  #: The letters HdrS.

# loadflags, arch/x86/include/uapi/asm/bootparam.h (6.1). The decompressor owns
# KASLR_FLAG; kernels since 4.x ignore KEEP_SEGMENTS.
LOADED_HIGH = 1 << 0  #: loadflags: the kernel was loaded at 1 MiB or above (6.1).
KASLR_FLAG = 1 << 1  #: loadflags: KASLR is on; the decompressor owns it.
QUIET_FLAG = 1 << 5  #: loadflags: no early messages.
KEEP_SEGMENTS = 1 << 6  #: loadflags: ignored since 4.x.
CAN_USE_HEAP = 1 << 7  #: loadflags: heap_end_ptr is valid.

# xloadflags, same file.
XLF_KERNEL_64 = 1 << 0  #: xloadflags: there is a 64-bit entry at 0x200.
XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1  #: xloadflags: parts may too.
XLF_EFI_HANDOVER_32 = 1 << 2  #: xloadflags: a 32-bit EFI handover entry.
XLF_EFI_HANDOVER_64 = 1 << 3  #: xloadflags: a 64-bit one.
XLF_EFI_KEXEC = 1 << 4  #: xloadflags: kexec with EFI runtime services.
XLF_5LEVEL = 1 << 5  #: xloadflags: knows five-level page tables.
XLF_5LEVEL_ENABLED = 1 << 6  #: xloadflags: uses them.
#: xloadflags: not in 6.1 yet.
XLF_MEM_ENCRYPTION = 1 << 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupHeader:
    """struct setup_header; 123 bytes, offsets as in the zero page.

    ``protocol`` is the boot protocol version that brought the field
    (Documentation/x86/boot.rst); an image of an older protocol does not fill it.
    """

    setup_sects: int = at(0x1F1, Int8ul)
    root_flags: int = at(0x1F2, Int16ul)
    # Two bytes before 2.04; the upper two were swap_dev.
    syssize: int = at(0x1F4, Int32ul, protocol=0x0204)
    ram_size: int = at(0x1F8, Int16ul)
    vid_mode: int = at(0x1FA, Int16ul)
    root_dev: int = at(0x1FC, Int16ul)
    boot_flag: int = at(0x1FE, Int16ul)
    jump: int = at(0x200, Int16ul, protocol=0x0200)
    header: int = at(0x202, Int32ul, protocol=0x0200)
    version: int = at(0x206, Int16ul, protocol=0x0200)
    realmode_swtch: int = at(0x208, Int32ul, protocol=0x0200)
    start_sys_seg: int = at(0x20C, Int16ul, protocol=0x0200)
    kernel_version: int = at(0x20E, Int16ul, protocol=0x0200)
    type_of_loader: int = at(0x210, Int8ul, protocol=0x0200)
    loadflags: int = at(0x211, Int8ul, protocol=0x0200)
    setup_move_size: int = at(0x212, Int16ul, protocol=0x0200)
    code32_start: int = at(0x214, Int32ul, protocol=0x0200)
    ramdisk_image: int = at(0x218, Int32ul, protocol=0x0200)
    ramdisk_size: int = at(0x21C, Int32ul, protocol=0x0200)
    bootsect_kludge: int = at(0x220, Int32ul, protocol=0x0200)
    heap_end_ptr: int = at(0x224, Int16ul, protocol=0x0201)
    ext_loader_ver: int = at(0x226, Int8ul, protocol=0x0202)
    ext_loader_type: int = at(0x227, Int8ul, protocol=0x0202)
    cmd_line_ptr: int = at(0x228, Int32ul, protocol=0x0202)
    initrd_addr_max: int = at(0x22C, Int32ul, protocol=0x0203)
    kernel_alignment: int = at(0x230, Int32ul, protocol=0x0205)
    relocatable_kernel: int = at(0x234, Int8ul, protocol=0x0205)
    min_alignment: int = at(0x235, Int8ul, protocol=0x020A)
    xloadflags: int = at(0x236, Int16ul, protocol=0x020C)
    cmdline_size: int = at(0x238, Int32ul, protocol=0x0206)
    hardware_subarch: int = at(0x23C, Int32ul, protocol=0x0207)
    hardware_subarch_data: int = at(0x240, Int64ul, protocol=0x0207)
    payload_offset: int = at(0x248, Int32ul, protocol=0x0208)
    payload_length: int = at(0x24C, Int32ul, protocol=0x0208)
    setup_data: int = at(0x250, Int64ul, protocol=0x0209)
    pref_address: int = at(0x258, Int64ul, protocol=0x020A)
    init_size: int = at(0x260, Int32ul, protocol=0x020A)
    handover_offset: int = at(0x264, Int32ul, protocol=0x020B)
    kernel_info_offset: int = at(0x268, Int32ul, protocol=0x020F)
