"""BIOS Enhanced Disk Drive information, as the zero page carries it."""

# ruff: noqa: RUF009  `at` returns dataclasses.field, which ruff cannot see

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul

from e820pool.abi.binding import at, parse_value

__all__ = (
    "EDDMAXNR",
    "EDD_MBR_SIG_MAX",
    "DevicePath",
    "EddAta",
    "EddAtapi",
    "EddDeviceParams",
    "EddFibre",
    "EddI2o",
    "EddI1394",
    "EddInfo",
    "EddInterfaceIsa",
    "EddInterfacePci",
    "EddInterfaceUnknown",
    "EddRaid",
    "EddScsi",
    "EddUnknown",
    "EddUsb",
    "InterfacePath",
)

# include/uapi/linux/edd.h
EDDMAXNR = 6  #: Disks in the zero page; include/uapi/linux/edd.h.
EDD_MBR_SIG_MAX = 16  #: Signatures in the zero page; the same.


@dataclass(frozen=True, slots=True, kw_only=True)
class EddInterfaceIsa:
    """How an ISA host is reached."""

    base_address: int = at(0x0, Int16ul)
    reserved1: int = at(0x2, Int16ul)
    reserved2: int = at(0x4, Int32ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddInterfacePci:
    """How a PCI or PCI-X host is reached."""

    bus: int = at(0x0, Int8ul)
    slot: int = at(0x1, Int8ul)
    function: int = at(0x2, Int8ul)
    channel: int = at(0x3, Int8ul)
    reserved: int = at(0x4, Int32ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddInterfaceUnknown:
    """A host that the kernel gives no layout: InfiniBand, PCIe, HyperTransport."""

    reserved: int = at(0x0, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddAta:
    """An ATA or SATA device."""

    device: int = at(0x0, Int8ul)
    reserved1: int = at(0x1, Int8ul)
    reserved2: int = at(0x2, Int16ul)
    reserved3: int = at(0x4, Int32ul)
    reserved4: int = at(0x8, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddAtapi:
    """An ATAPI device."""

    device: int = at(0x0, Int8ul)
    lun: int = at(0x1, Int8ul)
    reserved1: int = at(0x2, Int8ul)
    reserved2: int = at(0x3, Int8ul)
    reserved3: int = at(0x4, Int32ul)
    reserved4: int = at(0x8, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddScsi:
    """A SCSI device."""

    id: int = at(0x0, Int16ul)
    lun: int = at(0x2, Int64ul)
    reserved1: int = at(0xA, Int16ul)
    reserved2: int = at(0xC, Int32ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddUsb:
    """A USB device."""

    serial_number: int = at(0x0, Int64ul)
    reserved: int = at(0x8, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddI1394:
    """A FireWire device."""

    eui: int = at(0x0, Int64ul)
    reserved: int = at(0x8, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddFibre:
    """A Fibre Channel device."""

    wwid: int = at(0x0, Int64ul)
    lun: int = at(0x8, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddI2o:
    """An I2O device."""

    identity_tag: int = at(0x0, Int64ul)
    reserved: int = at(0x8, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddRaid:
    """A RAID array."""

    array_number: int = at(0x0, Int32ul)
    reserved1: int = at(0x4, Int32ul)
    reserved2: int = at(0x8, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class EddUnknown:
    """A device of a type without a layout."""

    reserved1: int = at(0x0, Int64ul)
    reserved2: int = at(0x8, Int64ul)


InterfacePath: TypeAlias = EddInterfaceIsa | EddInterfacePci | EddInterfaceUnknown
"""How the controller of a disk is reached."""
DevicePath: TypeAlias = (
    EddAta
    | EddAtapi
    | EddScsi
    | EddUsb
    | EddI1394
    | EddFibre
    | EddI2o
    | EddRaid
    | EddUnknown
)
"""How a disk is reached from its controller."""

# Which member of a union holds is said by text in fields before it, padded with
# spaces (drivers/firmware/edd.c, edd_show_host_bus() and edd_show_interface()).
_INTERFACES: dict[bytes, type[InterfacePath]] = {
    b"ISA": EddInterfaceIsa,
    b"PCI": EddInterfacePci,
    b"PCIX": EddInterfacePci,
}
_DEVICES: dict[bytes, type[DevicePath]] = {
    b"ATA": EddAta,
    b"SATA": EddAta,
    b"ATAPI": EddAtapi,
    b"SCSI": EddScsi,
    b"USB": EddUsb,
    b"1394": EddI1394,
    b"FIBRE": EddFibre,
    b"I2O": EddI2o,
    b"RAID": EddRaid,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EddDeviceParams:
    """struct edd_device_params: what int 13h function 48h answered; 74 bytes.

    The two unions are kept as bytes; ``interface`` and ``device`` are typed views.
    """

    length: int = at(0x00, Int16ul)
    info_flags: int = at(0x02, Int16ul)
    num_default_cylinders: int = at(0x04, Int32ul)
    num_default_heads: int = at(0x08, Int32ul)
    sectors_per_track: int = at(0x0C, Int32ul)
    number_of_sectors: int = at(0x10, Int64ul)
    bytes_per_sector: int = at(0x18, Int16ul)
    dpte_ptr: int = at(0x1A, Int32ul)
    key: int = at(0x1E, Int16ul)
    device_path_info_length: int = at(0x20, Int8ul)
    reserved2: int = at(0x21, Int8ul)
    reserved3: int = at(0x22, Int16ul)
    host_bus_type: bytes = at(0x24, Bytes(4))
    interface_type: bytes = at(0x28, Bytes(8))
    interface_path: bytes = at(0x30, Bytes(8))
    device_path: bytes = at(0x38, Bytes(16))
    reserved4: int = at(0x48, Int8ul)
    checksum: int = at(0x49, Int8ul)

    @property
    def interface(self) -> InterfacePath:
        """Return the interface path in the form that ``host_bus_type`` names."""
        cls = _INTERFACES.get(self.host_bus_type.rstrip(b" \0"), EddInterfaceUnknown)
        return parse_value(cls, self.interface_path, "EDD interface path")

    @property
    def device(self) -> DevicePath:
        """Return the device path in the form that ``interface_type`` names."""
        cls = _DEVICES.get(self.interface_type.rstrip(b" \0"), EddUnknown)
        return parse_value(cls, self.device_path, "EDD device path")


@dataclass(frozen=True, slots=True, kw_only=True)
class EddInfo:
    """struct edd_info: one BIOS disk; 82 bytes."""

    device: int = at(0x00, Int8ul)
    version: int = at(0x01, Int8ul)
    interface_support: int = at(0x02, Int16ul)
    legacy_max_cylinder: int = at(0x04, Int16ul)
    legacy_max_head: int = at(0x06, Int8ul)
    legacy_sectors_per_track: int = at(0x07, Int8ul)
    params: EddDeviceParams = at(0x08, EddDeviceParams)
