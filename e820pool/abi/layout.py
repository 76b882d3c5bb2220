"""Walk construct definitions: field offsets, numpy dtypes, errors with their place."""

from __future__ import annotations

import io
import struct as packing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from construct import (
    Array,
    Bytes,
    Construct,
    ConstructError,
    FormatField,
    Renamed,
    Struct,
)

from e820pool.errors import BadImageError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "FieldLayout",
    "build_bytes",
    "dtype_of",
    "fields_of",
    "parse_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldLayout:
    """One field: its C designator (``hdr.version``), byte offset and byte size."""

    name: str
    offset: int
    size: int


def dtype_of(struct: Struct) -> np.dtype[np.void]:
    """Return the packed little-endian numpy dtype that construct's layout implies.

    Raises:
        TypeError: the definition holds something without a fixed numpy equivalent.
    """
    return np.dtype([(field.name, _dtype(field.subcon)) for field in struct.subcons])


def fields_of(struct: Struct) -> tuple[FieldLayout, ...]:
    """Return every field in order of offset, each nested one after its parent.

    Fields of an array's elements are given once, as those of element 0
    (``eddbuf[0].device``): the C spelling, so that a compiler can be asked.
    """
    return tuple(_walk(struct, "", 0))


def parse_bytes(struct: Construct, data: bytes, label: str) -> Any:
    """Parse the start of ``data``, which is called ``label`` in messages.

    Raises:
        BadImageError: the bytes do not hold the structure; says where and in which
            field.
    """
    stream = io.BytesIO(data)
    try:
        return struct.parse_stream(stream)
    except (ConstructError, packing.error) as exc:
        # Compiled parsers leak struct.error and forget construct's path, so the
        # field is looked up by the offset instead.
        offset = stream.tell()
        field = _field_at(struct, offset)
        raise BadImageError(
            f"{label}: {len(data)} bytes (0x{len(data):x}) end inside {field}"
            f" at byte 0x{offset:x}",
        ) from exc


def build_bytes(struct: Construct, value: object, label: str) -> bytes:
    """Build ``value``, which is called ``label`` in messages.

    Raises:
        InputError: a value does not fit its field; names the field.
    """
    try:
        built: bytes = struct.build(value)
    except (ConstructError, packing.error) as exc:
        raise InputError(f"{label}: {_misfit(value, exc)}") from exc
    return built


# A field's type: numbers, fixed bytes, arrays and nested structures; nothing else
# occurs in the kernel's boot ABI.
def _dtype(subcon: Construct) -> Any:
    match subcon:
        case Renamed():
            return _dtype(subcon.subcon)
        case FormatField():
            # Only order and signedness: numpy reads the letter L as the machine's
            # long, 8 bytes, where construct means 4.
            order, letter = subcon.fmtstr
            return np.dtype(f"{order}{'u' if letter.isupper() else 'i'}{subcon.length}")
        case Bytes():
            return np.dtype((np.void, subcon.length))
        case Array():
            return np.dtype((_dtype(subcon.subcon), (subcon.count,)))
        case Struct():
            return dtype_of(subcon)
    raise TypeError(f"{subcon!r} has no fixed numpy equivalent")


def _walk(struct: Struct, prefix: str, base: int) -> Iterator[FieldLayout]:
    for field in struct.subcons:
        name, size = prefix + field.name, field.sizeof()
        yield FieldLayout(name=name, offset=base, size=size)
        inner, inner_prefix = field.subcon, f"{name}."
        if isinstance(inner, Array):
            inner, inner_prefix = inner.subcon, f"{name}[0]."
        if isinstance(inner, Struct):
            yield from _walk(inner, inner_prefix, base)
        base += size


def _field_at(struct: Construct, offset: int) -> str:
    # The innermost field that covers the offset; construct's compiled form keeps
    # its definition in `defersubcon`.
    definition = getattr(struct, "defersubcon", struct)
    name = "its end"
    for field in fields_of(definition):
        if field.offset <= offset < field.offset + field.size:
            name = field.name
    return name


# construct's path, "(building) -> hdr -> version", leads to the value that did not
# fit; it does not count the elements of an array.
def _misfit(value: Any, exc: Exception) -> str:
    names = (getattr(exc, "path", None) or "").split(" -> ")[1:]
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    shown = f"{value:#x}" if isinstance(value, int) else type(value).__name__
    if isinstance(value, bytes):
        shown = f"{len(value)} bytes"
    if value is None or not names:
        shown = " ".join(str(exc).split())
    return f"{'.'.join(names)} does not fit its field: {shown}"
