"""What the known setup_data types carry, as typed values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul

from e820pool.abi.binding import at, parse_value, struct_of
from e820pool.abi.e820 import E820_ENTRY_BYTES, parse_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.abi.e820 import E820Table

__all__ = (
    "SETUP_APPLE_PROPERTIES",
    "SETUP_CC_BLOB",
    "SETUP_DTB",
    "SETUP_E820_EXT",
    "SETUP_EFI",
    "SETUP_IMA",
    "SETUP_INDIRECT",
    "SETUP_JAILHOUSE",
    "SETUP_KEXEC_KHO",
    "SETUP_NONE",
    "SETUP_PCI",
    "SETUP_RNG_SEED",
    "ApplePropertiesHeader",
    "CcSetupData",
    "EfiSetupData",
    "ImaSetupData",
    "JailhouseHdr",
    "JailhouseSetupData",
    "JailhouseV1",
    "JailhouseV2",
    "KhoData",
    "Payload",
    "PciSetupRom",
    "SetupIndirect",
    "parse_payload",
)

# Node types: uapi asm/bootparam.h up to 6.6, asm/setup_data.h since. Kernels number
# on from here; a type they do not know is skipped and its memory stays reserved, see
# parse_setup_data() in arch/x86/kernel/setup.c.
SETUP_NONE = 0  #: No type; kernels number their node types on from here.
SETUP_E820_EXT = 1  #: e820 entries beyond 128.
SETUP_DTB = 2  #: A device tree.
SETUP_PCI = 3  #: A PCI option ROM.
SETUP_EFI = 4  #: EFI tables for kexec.
SETUP_APPLE_PROPERTIES = 5  #: Device properties.
SETUP_JAILHOUSE = 6  #: A Jailhouse cell.
SETUP_CC_BLOB = 7  #: Confidential computing.
SETUP_IMA = 8  #: A measurement list.
SETUP_RNG_SEED = 9  #: A seed of random bytes.
SETUP_KEXEC_KHO = 10  #: A kexec handover.
#: A flag in a struct setup_indirect's own type, and the type of the node around it.
SETUP_INDIRECT = 1 << 31

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupIndirect:
    """struct setup_indirect: a payload that lies elsewhere.

    Kernels since 5.10 reserve its target and show it, but parse none: an E820_EXT
    given this way is not read (parse_setup_data() in arch/x86/kernel/setup.c).
    """

    type: int = at(0x00, Int32ul)
    reserved: int = at(0x04, Int32ul)
    len: int = at(0x08, Int64ul)
    addr: int = at(0x10, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class KhoData:
    """struct kho_data (asm/setup_data.h, 6.18): addresses and sizes in bytes."""

    fdt_addr: int = at(0x00, Int64ul)
    fdt_size: int = at(0x08, Int64ul)
    scratch_addr: int = at(0x10, Int64ul)
    scratch_size: int = at(0x18, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaSetupData:
    """struct ima_setup_data: the measurement list of the kernel before."""

    addr: int = at(0x00, Int64ul)
    size: int = at(0x08, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EfiSetupData:
    """struct efi_setup_data (arch/x86/include/asm/efi.h): tables across a kexec."""

    fw_vendor: int = at(0x00, Int64ul)
    unused: int = at(0x08, Int64ul)
    tables: int = at(0x10, Int64ul)
    smbios: int = at(0x18, Int64ul)
    reserved: tuple[int, ...] = at(0x20, Int64ul, count=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class PciSetupRom:
    """struct pci_setup_rom (arch/x86/include/asm/pci.h) after its node header.

    As a 64-bit kernel lays it out; the option ROM's ``pcilen`` bytes follow it in
    the node's data.
    """

    vendor: int = at(0x00, Int16ul)
    devid: int = at(0x02, Int16ul)
    pad: bytes = at(0x04, Bytes(4))
    pcilen: int = at(0x08, Int64ul)
    segment: int = at(0x10, Int64ul)
    bus: int = at(0x18, Int64ul)
    device: int = at(0x20, Int64ul)
    function: int = at(0x28, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class CcSetupData:
    """struct cc_setup_data (arch/x86/kernel/sev-shared.c, 6.1) after its header."""

    cc_blob_address: int = at(0x00, Int32ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplePropertiesHeader:
    """struct properties_header (drivers/firmware/efi/apple-properties.c).

    ``dev_count`` device entries of varying length follow it in the node's data.
    """

    len: int = at(0x00, Int32ul)
    version: int = at(0x04, Int32ul)
    dev_count: int = at(0x08, Int32ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class JailhouseHdr:
    """The versions with which a struct jailhouse_setup_data begins."""

    version: int = at(0x00, Int16ul)
    compatible_version: int = at(0x02, Int16ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class JailhouseV1:
    """What version 1 of a struct jailhouse_setup_data says."""

    pm_timer_address: int = at(0x000, Int16ul)
    num_cpus: int = at(0x002, Int16ul)
    pci_mmconfig_base: int = at(0x004, Int64ul)
    tsc_khz: int = at(0x00C, Int32ul)
    apic_khz: int = at(0x010, Int32ul)
    standard_ioapic: int = at(0x014, Int8ul)
    cpu_ids: bytes = at(0x015, Bytes(255))


@dataclass(frozen=True, slots=True, kw_only=True)
class JailhouseV2:
    """What version 2 of a struct jailhouse_setup_data adds."""

    flags: int = at(0x000, Int32ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class JailhouseSetupData:
    """struct jailhouse_setup_data; ``v2`` is None below version 2."""

    hdr: JailhouseHdr
    v1: JailhouseV1
    v2: JailhouseV2 | None


Payload: TypeAlias = (
    "SetupIndirect | KhoData | ImaSetupData | EfiSetupData | PciSetupRom | CcSetupData"
    " | ApplePropertiesHeader | JailhouseSetupData | E820Table | bytes"
)
"""The typed payloads of nodes."""


def parse_payload(type_: int, data: bytes) -> Payload:
    """Return a node's data, typed where its type has a layout.

    E820_EXT gives the table of its ``len // 20`` entries, as kernels read it. DTB,
    RNG_SEED, NONE and unknown types give their bytes. What lies behind a fixed
    layout is left out.

    Raises:
        BadImageError: the data is shorter than the layout.
    """
    read = _READERS.get(type_)
    return read(data) if read else data


def _prefix(cls: type[T], data: bytes, what: str) -> T:
    return parse_value(cls, data[: struct_of(cls).sizeof()], what)


def _fixed(cls: type[T], what: str) -> Callable[[bytes], T]:
    return lambda data: _prefix(cls, data, what)


def _e820_ext(data: bytes) -> E820Table:
    return parse_table(data[: len(data) - len(data) % E820_ENTRY_BYTES])


# jailhouse_init_platform(): version 2 and later must hold the second part too.
def _jailhouse(data: bytes) -> JailhouseSetupData:
    hdr = _prefix(JailhouseHdr, data, "SETUP_JAILHOUSE versions")
    rest = data[struct_of(JailhouseHdr).sizeof() :]
    v1 = _prefix(JailhouseV1, rest, "SETUP_JAILHOUSE version 1")
    v2 = None
    if hdr.version > 1:
        rest = rest[struct_of(JailhouseV1).sizeof() :]
        v2 = _prefix(JailhouseV2, rest, "SETUP_JAILHOUSE version 2")
    return JailhouseSetupData(hdr=hdr, v1=v1, v2=v2)


_READERS: dict[int, Callable[[bytes], Payload]] = {
    SETUP_E820_EXT: _e820_ext,
    SETUP_PCI: _fixed(PciSetupRom, "SETUP_PCI"),
    SETUP_EFI: _fixed(EfiSetupData, "SETUP_EFI"),
    SETUP_APPLE_PROPERTIES: _fixed(ApplePropertiesHeader, "SETUP_APPLE_PROPERTIES"),
    SETUP_JAILHOUSE: _jailhouse,
    SETUP_CC_BLOB: _fixed(CcSetupData, "SETUP_CC_BLOB"),
    SETUP_IMA: _fixed(ImaSetupData, "SETUP_IMA"),
    SETUP_KEXEC_KHO: _fixed(KhoData, "SETUP_KEXEC_KHO"),
    SETUP_INDIRECT: _fixed(SetupIndirect, "SETUP_INDIRECT"),
}
