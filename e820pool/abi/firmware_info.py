"""The parts of the zero page that describe firmware: video, APM, IST, OLPC, EFI."""

from __future__ import annotations

from dataclasses import dataclass

from construct import Bytes, Int8ul, Int16ul, Int32ul

from e820pool.abi.binding import at

__all__ = (
    "ApmBiosInfo",
    "EdidInfo",
    "EfiInfo",
    "IstInfo",
    "OlpcOfwHeader",
    "ScreenInfo",
    "SysDescTable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenInfo:
    """struct screen_info (include/uapi/linux/screen_info.h); 64 bytes.

    ``ext_mem_k`` is memory above 1 MiB in KiB, of which a kernel makes RAM when the
    e820 table is refused.
    """

    orig_x: int = at(0x00, Int8ul)
    orig_y: int = at(0x01, Int8ul)
    ext_mem_k: int = at(0x02, Int16ul)
    orig_video_page: int = at(0x04, Int16ul)
    orig_video_mode: int = at(0x06, Int8ul)
    orig_video_cols: int = at(0x07, Int8ul)
    flags: int = at(0x08, Int8ul)
    unused2: int = at(0x09, Int8ul)
    orig_video_ega_bx: int = at(0x0A, Int16ul)
    unused3: int = at(0x0C, Int16ul)
    orig_video_lines: int = at(0x0E, Int8ul)
    orig_video_isVGA: int = at(0x0F, Int8ul)  # noqa: N815  the kernel's spelling
    orig_video_points: int = at(0x10, Int16ul)
    lfb_width: int = at(0x12, Int16ul)
    lfb_height: int = at(0x14, Int16ul)
    lfb_depth: int = at(0x16, Int16ul)
    lfb_base: int = at(0x18, Int32ul)
    lfb_size: int = at(0x1C, Int32ul)
    cl_magic: int = at(0x20, Int16ul)
    cl_offset: int = at(0x22, Int16ul)
    lfb_linelength: int = at(0x24, Int16ul)
    red_size: int = at(0x26, Int8ul)
    red_pos: int = at(0x27, Int8ul)
    green_size: int = at(0x28, Int8ul)
    green_pos: int = at(0x29, Int8ul)
    blue_size: int = at(0x2A, Int8ul)
    blue_pos: int = at(0x2B, Int8ul)
    rsvd_size: int = at(0x2C, Int8ul)
    rsvd_pos: int = at(0x2D, Int8ul)
    vesapm_seg: int = at(0x2E, Int16ul)
    vesapm_off: int = at(0x30, Int16ul)
    pages: int = at(0x32, Int16ul)
    vesa_attributes: int = at(0x34, Int16ul)
    capabilities: int = at(0x36, Int32ul)
    ext_lfb_base: int = at(0x3A, Int32ul)
    _reserved: bytes = at(0x3E, Bytes(2))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApmBiosInfo:
    """struct apm_bios_info (include/uapi/linux/apm_bios.h); 20 bytes."""

    version: int = at(0x00, Int16ul)
    cseg: int = at(0x02, Int16ul)
    offset: int = at(0x04, Int32ul)
    cseg_16: int = at(0x08, Int16ul)
    dseg: int = at(0x0A, Int16ul)
    flags: int = at(0x0C, Int16ul)
    cseg_len: int = at(0x0E, Int16ul)
    cseg_16_len: int = at(0x10, Int16ul)
    dseg_len: int = at(0x12, Int16ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class IstInfo:
    """struct ist_info (arch/x86/include/uapi/asm/ist.h): SpeedStep; 16 bytes."""

    signature: int = at(0x00, Int32ul)
    command: int = at(0x04, Int32ul)
    event: int = at(0x08, Int32ul)
    perf_level: int = at(0x0C, Int32ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class SysDescTable:
    """struct sys_desc_table: the obsolete MCA table; 16 bytes."""

    length: int = at(0x00, Int16ul)
    table: bytes = at(0x02, Bytes(14))


@dataclass(frozen=True, slots=True, kw_only=True)
class OlpcOfwHeader:
    """struct olpc_ofw_header: the OLPC's Open Firmware; 16 bytes."""

    ofw_magic: int = at(0x00, Int32ul)
    ofw_version: int = at(0x04, Int32ul)
    cif_handler: int = at(0x08, Int32ul)
    irq_desc_table: int = at(0x0C, Int32ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdidInfo:
    """struct edid_info (include/uapi/video/edid.h): the monitor; 128 bytes."""

    dummy: bytes = at(0x00, Bytes(128))


@dataclass(frozen=True, slots=True, kw_only=True)
class EfiInfo:
    """struct efi_info: where the EFI system table and memory map lie; 32 bytes.

    With a signature of ``EL64`` or ``EL32`` the decompressor of 4.14 and later takes
    its candidates from this map and never looks at e820
    (arch/x86/boot/compressed/kaslr.c, process_efi_entries()).
    """

    efi_loader_signature: int = at(0x00, Int32ul)
    efi_systab: int = at(0x04, Int32ul)
    efi_memdesc_size: int = at(0x08, Int32ul)
    efi_memdesc_version: int = at(0x0C, Int32ul)
    efi_memmap: int = at(0x10, Int32ul)
    efi_memmap_size: int = at(0x14, Int32ul)
    efi_systab_hi: int = at(0x18, Int32ul)
    efi_memmap_hi: int = at(0x1C, Int32ul)

    @property
    def memmap_addr(self) -> int:
        """Return the map's physical address, both halves joined."""
        return self.efi_memmap_hi << 32 | self.efi_memmap
