"""The pool record: our own setup_data payload (specs/pool-record.md)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from construct import Bytes, Int16ul, Int32ul, Int64ul

from e820pool.abi.binding import at, encode_value, parse_value, struct_of
from e820pool.abi.layout import dtype_of
from e820pool.errors import BadImageError, CapacityError, InputError
from e820pool.findings import counted

__all__ = (
    "MAP_DIGEST_BYTES",
    "RECORD_BAD_CRC",
    "RECORD_BAD_EXTENTS",
    "RECORD_BAD_MAGIC",
    "RECORD_EXTENT",
    "RECORD_EXTENT_DTYPE",
    "RECORD_HEADER",
    "RECORD_MAGIC",
    "RECORD_MAJOR",
    "RECORD_MINOR",
    "RECORD_NEWER_VERSION",
    "RECORD_PFN_LIMIT",
    "RECORD_TRUNCATED",
    "SETUP_E820POOL",
    "BadRecordError",
    "PoolRecord",
    "RecordExtent",
    "encode_record",
    "parse_record",
)

#: "e8pl" in memory. Kernels number their setup_data types upwards from 0 (10 is the
#: highest in 7.3) and use bit 31 as the SETUP_INDIRECT flag, so a large number with
#: bit 31 clear is skipped by every kernel, known and to come.
SETUP_E820POOL = 0x6C70_3865

RECORD_MAGIC = b"E820POOL"  #: The first bytes of a record.
RECORD_MAJOR = 1  #: A reader refuses a newer one.
RECORD_MINOR = 0  #: A reader skips what a newer one adds.
# Bits of `flags` that a reader must understand or refuse; none is defined yet.
_FLAGS_MUST_KNOW = 0x0000_FFFF
#: x86 physical addresses have at most 52 bits, 40 of them count pages.
RECORD_PFN_LIMIT = 1 << 40
#: The head of a SHA-256; all zero means that the writer did not know the map.
MAP_DIGEST_BYTES = 16

# Finding ids of the five ways to refuse a record.
RECORD_BAD_MAGIC = "record-bad-magic"  #: Finding id: the bytes are no record.
RECORD_NEWER_VERSION = "record-newer-version"  #: Finding id: for a later reader.
RECORD_TRUNCATED = "record-truncated"  #: Finding id: fewer bytes than it claims.
RECORD_BAD_CRC = "record-bad-crc"  #: Finding id: the checksum differs.
RECORD_BAD_EXTENTS = "record-bad-extents"  #: Finding id: they overlap, or the like.

_U32_LIMIT = 1 << 32


class BadRecordError(BadImageError):
    """Bytes that are no pool record we may believe; ``id`` says in which way."""

    def __init__(self, id_: str, message: str) -> None:
        super().__init__(message)
        self.id = id_


# What each field means is in specs/pool-record.md.
@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    magic: bytes = at(0x00, Bytes(8))
    major: int = at(0x08, Int16ul)
    minor: int = at(0x0A, Int16ul)
    header_bytes: int = at(0x0C, Int32ul)
    record_bytes: int = at(0x10, Int32ul)
    crc: int = at(0x14, Int32ul)
    extent_bytes: int = at(0x18, Int32ul)
    nr_extents: int = at(0x1C, Int32ul)
    flags: int = at(0x20, Int32ul)
    reserved: int = at(0x24, Int32ul)
    generation: int = at(0x28, Int64ul)
    map_digest: bytes = at(0x30, Bytes(MAP_DIGEST_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordExtent:
    """One deposited extent, PFNs ``[base_pfn, base_pfn + nr_pages)``.

    Attributes:
        base_pfn: the first page's frame number.
        nr_pages: how many pages of 4 KiB, at least one.
        owner: who deposited it, for example a partition id.
        firmware_type: the e820 type of the range in the firmware's own map, to
            which it returns once withdrawn.
        reserved: zero.
    """

    base_pfn: int = at(0x00, Int64ul)
    nr_pages: int = at(0x08, Int64ul)
    owner: int = at(0x10, Int64ul)
    firmware_type: int = at(0x18, Int32ul)
    reserved: int = at(0x1C, Int32ul)

    @property
    def end_pfn(self) -> int:
        """Return the frame number behind the last page."""
        return self.base_pfn + self.nr_pages


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRecord:
    """What is deposited, told from one kernel to the next.

    Attributes:
        extents: sorted by ``base_pfn``, none empty, none overlapping.
        generation: the number of handoffs so far; grows by one with each.
        map_digest: 16 bytes that name the firmware's map, zeros when not known.
        minor: the layout's minor version, as read.
    """

    extents: tuple[RecordExtent, ...]
    generation: int = 0
    map_digest: bytes = bytes(MAP_DIGEST_BYTES)
    minor: int = RECORD_MINOR


RECORD_HEADER = struct_of(_Header)  #: The header, 0x40 bytes.
RECORD_EXTENT = struct_of(RecordExtent)  #: One extent, 0x20 bytes.
_HEADER_BYTES: int = RECORD_HEADER.sizeof()
#: Rows with the fields of RecordExtent, for bulk work.
RECORD_EXTENT_DTYPE = dtype_of(RECORD_EXTENT)
_EXTENT_BYTES = RECORD_EXTENT_DTYPE.itemsize
_CRC_OFFSET = 0x14


def parse_record(data: bytes) -> PoolRecord:
    """Return the record with which ``data`` begins; bytes behind it are ignored.

    Raises:
        BadRecordError: no record, or none that may be believed; its ``id`` is one
            of the ``RECORD_*`` finding ids.

    Example:
        >>> rows = np.array([(0x1000, 16, 7, 1, 0)], RECORD_EXTENT_DTYPE)
        >>> data = encode_record(rows, generation=3)
        >>> len(data), parse_record(data).generation
        (96, 3)
    """
    header = _header_of(data)
    _validate_version(header)
    _validate_sizes(header, len(data))
    record = data[: header.record_bytes]
    _validate_crc(header, record)
    if header.flags & _FLAGS_MUST_KNOW:
        raise BadRecordError(
            RECORD_NEWER_VERSION,
            f"pool record: flags {header.flags:#x} ask for what this version does not"
            " know (it knows none of the low 16)",
        )
    rows = _rows_of(header, record)
    _validate_extents(rows)
    return PoolRecord(
        extents=tuple(
            RecordExtent(base_pfn=base, nr_pages=pages, owner=owner, firmware_type=kind)
            for base, pages, owner, kind, _ in rows.tolist()
        ),
        generation=header.generation,
        map_digest=header.map_digest,
        minor=header.minor,
    )


def encode_record(
    rows: npt.NDArray[np.void],
    *,
    generation: int = 0,
    map_digest: bytes = bytes(MAP_DIGEST_BYTES),
) -> bytes:
    """Return a record's bytes, in the one version that this writer knows.

    Args:
        rows: its extents, ``RECORD_EXTENT_DTYPE``, one-dimensional.
        generation: see :class:`PoolRecord`.
        map_digest: see :class:`PoolRecord`.

    Raises:
        InputError: extents that a reader would refuse, numbers that do not fit
            their fields.
        CapacityError: more extents than a setup_data node can hold.
    """
    need = _HEADER_BYTES + rows.size * _EXTENT_BYTES
    if need >= _U32_LIMIT:
        raise CapacityError(
            f"pool record: {rows.size} extents need {need:#x} bytes, a"
            f" setup_data node holds {_U32_LIMIT - 1:#x}",
        )
    try:
        _validate_extents(rows)
    except BadRecordError as exc:
        raise InputError(str(exc)) from exc
    extents = rows.tobytes()
    header = _Header(
        magic=RECORD_MAGIC,
        major=RECORD_MAJOR,
        minor=RECORD_MINOR,
        header_bytes=_HEADER_BYTES,
        record_bytes=_HEADER_BYTES + len(extents),
        extent_bytes=_EXTENT_BYTES,
        nr_extents=rows.size,
        generation=generation,
        map_digest=map_digest,
    )
    blank = encode_value(header, "pool record") + extents
    crc = zlib.crc32(blank).to_bytes(4, "little")
    return blank[:_CRC_OFFSET] + crc + blank[_CRC_OFFSET + 4 :]


def _header_of(data: bytes) -> _Header:
    magic = data[: len(RECORD_MAGIC)]
    if magic != RECORD_MAGIC[: len(magic)]:
        raise BadRecordError(
            RECORD_BAD_MAGIC,
            f"no pool record: magic is {magic.hex()}, not {RECORD_MAGIC.hex()}",
        )
    if len(data) < _HEADER_BYTES:
        raise BadRecordError(
            RECORD_TRUNCATED,
            f"pool record: {len(data)} bytes (0x{len(data):x}), but its header has"
            f" {_HEADER_BYTES}",
        )
    return parse_value(_Header, data[:_HEADER_BYTES], "pool record")


# Before all else: of another major version not even the CRC's place is known.
def _validate_version(header: _Header) -> None:
    if header.major > RECORD_MAJOR:
        raise BadRecordError(
            RECORD_NEWER_VERSION,
            f"pool record: version {header.major}.{header.minor}, this reader knows up"
            f" to {RECORD_MAJOR}",
        )
    if header.major < RECORD_MAJOR:
        raise BadRecordError(
            RECORD_BAD_MAGIC,
            f"no pool record: version {header.major} was never written, the first is"
            f" {RECORD_MAJOR}",
        )


def _validate_sizes(header: _Header, available: int) -> None:
    for name, value, least in (
        ("header_bytes", header.header_bytes, _HEADER_BYTES),
        ("extent_bytes", header.extent_bytes, _EXTENT_BYTES),
    ):
        if value < least:
            raise BadRecordError(
                RECORD_TRUNCATED,
                f"pool record: {name} is {value:#x}, the least is {least:#x}",
            )
    if header.record_bytes > available:
        raise BadRecordError(
            RECORD_TRUNCATED,
            f"pool record: record_bytes is {header.record_bytes:#x}, but only"
            f" {available:#x} are there",
        )
    need = header.header_bytes + header.nr_extents * header.extent_bytes
    if need > header.record_bytes:
        raise BadRecordError(
            RECORD_TRUNCATED,
            f"pool record: {counted(header.nr_extents, 'extent')} "
            f"({header.nr_extents:#x}) need"
            f" {need:#x} bytes, record_bytes is {header.record_bytes:#x}",
        )


def _validate_crc(header: _Header, record: bytes) -> None:
    crc = zlib.crc32(record[:_CRC_OFFSET])
    crc = zlib.crc32(bytes(4), crc)
    crc = zlib.crc32(record[_CRC_OFFSET + 4 :], crc)
    if crc != header.crc:
        raise BadRecordError(
            RECORD_BAD_CRC,
            f"pool record: CRC is {header.crc:#010x}, its bytes give {crc:#010x}",
        )


# A newer minor's extents may be longer; of each we read the part that we know.
def _rows_of(header: _Header, record: bytes) -> npt.NDArray[np.void]:
    end = header.header_bytes + header.nr_extents * header.extent_bytes
    raw = np.frombuffer(record[header.header_bytes : end], dtype=np.uint8)
    known = raw.reshape(header.nr_extents, header.extent_bytes)[:, :_EXTENT_BYTES]
    return np.frombuffer(known.tobytes(), dtype=RECORD_EXTENT_DTYPE)


def _validate_extents(rows: npt.NDArray[np.void]) -> None:
    base, pages = rows["base_pfn"], rows["nr_pages"]
    limit = np.uint64(RECORD_PFN_LIMIT)
    # `limit - base` cannot wrap where base is within the limit.
    beyond = (base >= limit) | (pages > limit - np.minimum(base, limit))
    _refuse_first(rows, pages == 0, "is empty")
    _refuse_first(rows, beyond, f"reaches beyond the limit {RECORD_PFN_LIMIT:#x}")
    unordered = np.zeros(len(rows), dtype=bool)
    unordered[1:] = base[1:] < (base + pages)[:-1]
    _refuse_first(rows, unordered, "begins before the end of the one before it")


def _refuse_first(rows: npt.NDArray[np.void], bad: Any, why: str) -> None:
    if not bad.any():
        return
    index = int(bad.argmax())
    base, pages = int(rows["base_pfn"][index]), int(rows["nr_pages"][index])
    raise BadRecordError(
        RECORD_BAD_EXTENTS,
        f"pool record: extent {index} of {pages:#x} pages at PFN {base:#x} {why}",
    )
