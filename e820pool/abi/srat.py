"""ACPI's System Resource Affinity Table: where firmware says that memory can lie."""

from __future__ import annotations

from dataclasses import dataclass

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul

from e820pool.abi.binding import at, parse_value
from e820pool.errors import BadImageError

__all__ = (
    "SRAT_MEM_ENABLED",
    "SRAT_MEM_HOT_PLUGGABLE",
    "MemoryAffinity",
    "parse_srat",
)

SRAT_MEM_ENABLED = 1 << 0  #: flags: the structure counts.
SRAT_MEM_HOT_PLUGGABLE = 1 << 1  #: flags: memory can be added there.

_SIGNATURE = b"SRAT"
_MEMORY_AFFINITY = 1
_HEADER_BYTES = 48
_AFFINITY_BYTES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class _SratHeader:
    # struct acpi_table_srat, include/acpi/actbl3.h, with its acpi_table_header.
    signature: bytes = at(0x00, Bytes(4))
    length: int = at(0x04, Int32ul)
    revision: int = at(0x08, Int8ul)
    checksum: int = at(0x09, Int8ul)
    oem_id: bytes = at(0x0A, Bytes(6))
    oem_table_id: bytes = at(0x10, Bytes(8))
    oem_revision: int = at(0x18, Int32ul)
    asl_compiler_id: bytes = at(0x1C, Bytes(4))
    asl_compiler_revision: int = at(0x20, Int32ul)
    table_revision: int = at(0x24, Int32ul)
    reserved: int = at(0x28, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAffinity:
    """struct acpi_srat_mem_affinity (include/acpi/actbl3.h, 6.1); 40 bytes.

    ``base_address`` and ``length`` are in bytes.
    """

    type: int = at(0x00, Int8ul)
    size: int = at(0x01, Int8ul)
    proximity_domain: int = at(0x02, Int32ul)
    reserved: int = at(0x06, Int16ul)
    base_address: int = at(0x08, Int64ul)
    length: int = at(0x10, Int64ul)
    reserved1: int = at(0x18, Int32ul)
    flags: int = at(0x1C, Int32ul)
    reserved2: int = at(0x20, Int64ul)

    @property
    def is_hot_pluggable(self) -> bool:
        """Return whether memory can be added there, as a kernel reads the flags.

        What is not enabled says nothing (drivers/acpi/numa/srat.c
        acpi_numa_memory_affinity_init(), 6.1).
        """
        both = SRAT_MEM_ENABLED | SRAT_MEM_HOT_PLUGGABLE
        return self.flags & both == both


def parse_srat(data: bytes) -> tuple[MemoryAffinity, ...]:
    """Return the table's memory affinity structures (type 1), in its order.

    The checksum is not looked at: a kernel warns of a wrong one, and goes on.

    Raises:
        BadImageError: another signature, or a length that does not fit.
    """
    header = parse_value(_SratHeader, data[:_HEADER_BYTES], "SRAT")
    if header.signature != _SIGNATURE:
        raise BadImageError(f"SRAT: the signature is {header.signature!r}")
    if not _HEADER_BYTES <= header.length <= len(data):
        raise BadImageError(
            f"SRAT: its length is {header.length:#x}: want {_HEADER_BYTES:#x} to "
            f"{len(data):#x}, the bytes that there are"
        )
    affinities, offset = [], _HEADER_BYTES
    while offset < header.length:
        kind, size = data[offset], _size_at(data[: header.length], offset)
        if kind == _MEMORY_AFFINITY:
            piece = data[offset : offset + min(size, _AFFINITY_BYTES)]
            label = f"SRAT structure at {offset:#x}"
            affinities.append(parse_value(MemoryAffinity, piece, label))
        offset += size
    return tuple(affinities)


# Type and length are what every structure begins with.
def _size_at(data: bytes, offset: int) -> int:
    left = len(data) - offset
    size = data[offset + 1] if left > 1 else 0
    if not 2 <= size <= left:
        raise BadImageError(
            f"SRAT structure at {offset:#x}: its length is {size:#x}: want 2 to "
            f"{left:#x}"
        )
    return size
