"""What a bzImage says of itself: its header, its version and where it will work."""

from __future__ import annotations

from dataclasses import dataclass

from e820pool.abi.binding import encode_value, parse_value
from e820pool.abi.setup_header import (
    BOOT_FLAG,
    HDRS_MAGIC,
    LOADED_HIGH,
    SETUP_HEADER_OFFSET,
    SetupHeader,
)
from e820pool.errors import BadImageError
from e820pool.extents import Span, round_up

__all__ = ("BzImage", "parse_bzimage")

_SECTOR_BYTES = 512
# Images older than the field's meaning say 0 and mean 4 (boot.rst, setup_sects).
_DEFAULT_SETUP_SECTS = 4
# The header ends at the target of the jump at 0x200, whose displacement this is.
_JUMP_DISPLACEMENT = 0x201
_JUMP_END = 0x202
# In the zero page the MBR signatures follow; a longer header would reach into them.
_HEADER_LIMIT = 0x290
_HEADER_BYTES = len(encode_value(SetupHeader(), "setup_header"))
_MIN_PROTOCOL = 0x0200
_LONGEST_VERSION_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class BzImage:
    """What a loader needs to know of an image; all offsets are into its file.

    Attributes:
        hdr: the image's setup_header; fields newer than its protocol are zero.
        setup_header: the header's bytes, as many as the image has, to be copied to
            0x1f1 of a zero page.
        version: the kernel's own version text, empty if it has none.
        protected_mode_offset: where the part loaded at ``load_addr`` begins.
        protected_mode_size: its bytes, to the end of the file.
        has_floor: whether it never runs below its preferred address. Nothing in the
            header says so; images before 3.11 have none (behaviour
            ``decompress-floor``), see :func:`e820pool.loading.kernel_file.parse_image`.
    """

    hdr: SetupHeader
    setup_header: bytes
    version: str
    protected_mode_offset: int
    protected_mode_size: int
    has_floor: bool = True

    @property
    def protocol(self) -> int:
        """Return the boot protocol version: 0x020f is 2.15."""
        return self.hdr.version

    @property
    def release(self) -> str:
        """Return the release as ``uname -r`` prints it: ``6.1.0-52-cloud-amd64``."""
        return self.version.partition(" ")[0]

    @property
    def relocatable(self) -> bool:
        """Return whether the image runs where it is loaded."""
        return bool(self.hdr.relocatable_kernel)

    @property
    def pref_address(self) -> int:
        """Return the address the image would like best (CONFIG_PHYSICAL_START)."""
        return self.hdr.pref_address

    @property
    def init_size(self) -> int:
        """Return the bytes from its run address that it needs before it has a map."""
        return self.hdr.init_size

    @property
    def kernel_alignment(self) -> int:
        """Return the alignment, in bytes, to which a load address is rounded up."""
        return self.hdr.kernel_alignment

    @property
    def xloadflags(self) -> int:
        """Return the ``XLF_*`` bits."""
        return self.hdr.xloadflags

    @property
    def cmdline_size(self) -> int:
        """Return the longest command line in bytes, its NUL not counted."""
        return self.hdr.cmdline_size if self.protocol >= 0x0206 else 255

    @property
    def initrd_addr_max(self) -> int:
        """Return the highest address that an initrd's last byte may have."""
        return self.hdr.initrd_addr_max if self.protocol >= 0x0203 else 0x37FF_FFFF

    @property
    def payload_offset(self) -> int:
        """Return where the compressed kernel begins in the file; 0 if not said."""
        if not self.hdr.payload_length:
            return 0
        return self.protected_mode_offset + self.hdr.payload_offset

    @property
    def payload_length(self) -> int:
        """Return the compressed kernel's bytes; 0 if not said."""
        return self.hdr.payload_length

    def kernel_window(self, load_addr: int) -> Span:
        """Return ``[P, P + init_size)``, overwritten before any map is read.

        P is the load address rounded up to the alignment and, where there is a floor,
        at least the preferred address; an image that is not relocatable moves to the
        latter always (arch/x86/boot/compressed/head_64.S, 4.4 to 7.3; 3.8 to 3.10
        without the floor).

        Raises:
            BadImageError: the image's protocol is too old to say its init_size.
        """
        if self.protocol < 0x020A or not self.init_size:
            raise BadImageError(
                f"kernel image of protocol {_dotted(self.protocol)} does not say its"
                " init_size: the bytes it overwrites are not known (needs 2.10)",
            )
        start = self.pref_address
        if self.relocatable:
            at = round_up(load_addr, self.kernel_alignment or 1)
            start = max(at, start) if self.has_floor else at
        return Span.at(start, self.init_size)


def parse_bzimage(data: bytes) -> BzImage:
    """Read an image's header; ``data`` is the whole file.

    Raises:
        BadImageError: no Linux boot sector, no ``HdrS`` header, a protocol before
            2.00, a zImage, or a file that is shorter than its header says.
    """
    _validate_length(data, _JUMP_END + 6, "its magic numbers end")
    _validate_magic(data)
    header_end = _JUMP_END + data[_JUMP_DISPLACEMENT]
    if header_end > _HEADER_LIMIT:
        raise BadImageError(
            f"kernel image: its header ends at {header_end:#x}, but a zero page has"
            f" room up to {_HEADER_LIMIT:#x}",
        )
    _validate_length(data, header_end, "its setup_header ends")
    setup_header = bytes(data[SETUP_HEADER_OFFSET:header_end])
    # A header of an older protocol is shorter; what it does not have is zero.
    padded = setup_header[:_HEADER_BYTES].ljust(_HEADER_BYTES, b"\0")
    hdr = parse_value(SetupHeader, padded, "setup_header")
    offset = (hdr.setup_sects or _DEFAULT_SETUP_SECTS) * _SECTOR_BYTES + _SECTOR_BYTES
    _validate_layout(hdr, data, offset)
    return BzImage(
        hdr=hdr,
        setup_header=setup_header,
        version=_version_text(hdr, data, offset),
        protected_mode_offset=offset,
        protected_mode_size=len(data) - offset,
    )


# What people have beside a bzImage, by its first bytes.
_OTHER_FORMATS = (
    (b"\x7fELF", "an ELF file: of a vmlinux give arch/x86/boot/bzImage beside it"),
    (b"\x1f\x8b", "a gzip file: unpack it, or give the kernel that it came with"),
    (b"\xfd7zXZ", "an xz file: unpack it, or give the kernel that it came with"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it, or give the kernel of it"),
    (b"070701", "a cpio archive: an initrd is not the kernel"),
    (b"!<arch>", "a package: unpack it and give its /boot/vmlinuz-*"),
    (b"MZ", "an EFI program without a Linux header"),
)


# Before 2.00 nothing says where the header ends, so the two magics come first.
def _validate_magic(data: bytes) -> None:
    boot_flag = int.from_bytes(data[0x1FE:0x200], "little")
    if boot_flag != BOOT_FLAG:
        for magic, name in _OTHER_FORMATS:
            if data.startswith(magic):
                raise BadImageError(f"kernel image: this is no bzImage but {name}")
        raise BadImageError(
            "kernel image: this is no bzImage: boot_flag at 0x1fe is "
            f"{boot_flag:#06x}, not {BOOT_FLAG:#x}",
        )
    header = int.from_bytes(data[0x202:0x206], "little")
    if header != HDRS_MAGIC:
        raise BadImageError(
            f"kernel image: {header:#010x} at 0x202, not {HDRS_MAGIC:#x} (HdrS)",
        )
    protocol = int.from_bytes(data[0x206:0x208], "little")
    if protocol < _MIN_PROTOCOL:
        raise BadImageError(
            f"kernel image: boot protocol {_dotted(protocol)} ({protocol:#06x}) is"
            f" older than {_dotted(_MIN_PROTOCOL)}",
        )


def _validate_layout(hdr: SetupHeader, data: bytes, offset: int) -> None:
    if not hdr.loadflags & LOADED_HIGH:
        raise BadImageError(
            f"kernel image: loadflags {hdr.loadflags:#04x} without LOADED_HIGH: a"
            " zImage, loaded below 1 MiB, is not supported",
        )
    _validate_length(data, offset + 1, "its protected-mode part begins")
    payload_end = offset + hdr.payload_offset + hdr.payload_length
    _validate_length(data, payload_end, "its payload ends")


def _validate_length(data: bytes, want: int, end: str) -> None:
    if len(data) < want:
        raise BadImageError(
            f"kernel image of {len(data)} bytes (0x{len(data):x}) is cut: {end} at"
            f" 0x{want:x}",
        )


# The text lies in the real-mode part, at 0x200 behind what the field says.
def _version_text(hdr: SetupHeader, data: bytes, limit: int) -> str:
    if not hdr.kernel_version:
        return ""
    start = hdr.kernel_version + 0x200
    if start >= limit:
        raise BadImageError(
            f"kernel image: kernel_version points to 0x{start:x}, behind the real-mode"
            f" part that ends at 0x{limit:x}",
        )
    text = bytes(data[start : min(limit, start + _LONGEST_VERSION_BYTES)])
    # The text goes into tables and messages, so noise must not break their lines.
    words = text.partition(b"\0")[0].strip()
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in words)


def _dotted(protocol: int) -> str:
    return f"{protocol >> 8}.{protocol & 0xFF:02d}"
