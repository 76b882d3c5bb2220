"""Unpack what people attach: gzip, xz, bzip2, zstd; bounded, whatever it claims."""

from __future__ import annotations

import bz2
import importlib
import lzma
import re
import sys
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from e820pool.errors import BadImageError, missing_package
from e820pool.sources.files import INPUT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("name_of_archive", "unpacked")

# What is held of the result beside it, and how deep one pack may lie in another: a log
# that was rotated (gz) and attached in a pack again.
_PART_BYTES = 1 << 20
_DEPTH_LIMIT = 2
_PADDING = re.compile(rb"\0*")
# Logs that were appended to each other, or the blocks of bgzip.
_MEMBERS_LIMIT = 1 << 14
# What zstd(1) unpacks without being told (ZSTD_WINDOWLOG_LIMIT_DEFAULT, 27).
_WINDOW_LIMIT = 1 << 27
# xz -9 has a dictionary of 64 MiB; a header can claim 4 GiB.
_DICTIONARY_LIMIT = 1 << 27


class _Pack(NamedTuple):
    name: str
    magic: bytes
    stream_of: Callable[[], Any]
    parts_of: Callable[[Any, bytes], Iterator[bytes]]
    chunk_bytes: int


# Packs that are not unpacked here, and what to do with them.
_ARCHIVES = (
    (b"PK\x03\x04", 0, "a ZIP archive", "unzip it"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive", "unpack it (7z x)"),
    (b"Rar!\x1a\x07", 0, "a RAR archive", "unpack it (unrar x)"),
    (b"\x04\x22\x4d\x18", 0, "an LZ4 file", "unpack it (lz4 -d)"),
    (b"\x89LZO\0\r\n\x1a\n", 0, "an lzop file", "unpack it (lzop -d)"),
    (b"\x1f\x9d", 0, "a file of compress", "unpack it (zcat)"),
    (b"\x5d\0\0", 0, "an LZMA file of the old kind", "unpack it (unlzma)"),
    (b"ustar", 257, "a tar archive", "unpack it (tar xf)"),
)


def unpacked(data: bytes, origin: str) -> tuple[bytes, str]:
    """Return the bytes that a packed file holds, and the name of what packed it.

    Data that is not packed comes back as it is, with the name "". A file of several
    members (rotated logs that were appended to each other) gives all of them.

    Raises:
        BadImageError: it is damaged, cut, packed more than twice over, or holds more
            than :data:`~e820pool.sources.files.INPUT_LIMIT` bytes; nothing beyond the
            limit is ever held.
        MachineError: it is zstd, and no package that unpacks it is installed.
    """
    names: list[str] = []
    while pack := _pack_of(data):
        if len(names) == _DEPTH_LIMIT:
            raise BadImageError(
                f"{origin!r} is {pack.name} inside {' inside '.join(reversed(names))}: "
                f"the limit is {_DEPTH_LIMIT} packs, one in the other"
            )
        data = _unpacked(pack, data, origin)
        names.append(pack.name)
    return data, " of ".join(reversed(names))


def name_of_archive(data: bytes) -> str:
    """Return what an archive that is not unpacked here is and what to do, or ""."""
    for magic, at, name, remedy in _ARCHIVES:
        if data[at : at + len(magic)] == magic:
            return f"{name}: {remedy} and give the log or the file inside"
    return ""


def _pack_of(data: bytes) -> _Pack | None:
    return next((pack for pack in _PACKS if data.startswith(pack.magic)), None)


def _unpacked(pack: _Pack, data: bytes, origin: str) -> bytes:
    content = bytearray()
    try:
        for part in _members(data, pack):
            content += part
            if len(content) > INPUT_LIMIT:
                raise BadImageError(
                    f"{origin!r} is {len(data):#x} bytes of {pack.name} that unpack to "
                    f"more than the limit of {INPUT_LIMIT:#x} bytes"
                )
    except _errors() as exc:
        raise BadImageError(
            f"{origin!r} is {len(data):#x} bytes of {pack.name} that are damaged: "
            f"{_reason(exc)} after {len(content):#x} bytes"
        ) from exc
    if not content:
        raise BadImageError(f"{origin!r} is {pack.name} of 0 bytes")
    return bytes(content)


def _errors() -> tuple[type[Exception], ...]:
    zstandard = sys.modules.get("zstandard")
    own = [zstandard.ZstdError] if zstandard else []
    return (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, *own)


def _reason(exc: Exception) -> str:
    return " ".join(str(exc).split())[:80] or type(exc).__name__


# One member after the other; zeros between and after them are padding (a tape's, a
# disk's), and what follows the last member and is none is left alone, as gzip(1) does.
def _members(data: bytes, pack: _Pack) -> Iterator[bytes]:
    at, members = 0, 0
    while data.startswith(pack.magic, at):
        members += 1
        if members > _MEMBERS_LIMIT:
            raise ValueError(f"more than {_MEMBERS_LIMIT:#x} members, the limit,")
        stream = pack.stream_of()
        while not stream.eof:
            chunk = data[at : at + pack.chunk_bytes]
            if not chunk:
                raise EOFError("it is cut short")
            yield from pack.parts_of(stream, chunk)
            at += len(chunk)
        at -= len(stream.unused_data)
        at = _end_of_padding(data, at)


def _end_of_padding(data: bytes, at: int) -> int:
    match = _PADDING.match(data, at)
    return match.end() if match else at


def _at_once(stream: Any, chunk: bytes) -> Iterator[bytes]:
    yield stream.decompress(chunk)


def _by_parts(stream: Any, chunk: bytes) -> Iterator[bytes]:
    yield stream.decompress(chunk, _PART_BYTES)
    while not stream.eof and not stream.needs_input:
        yield stream.decompress(b"", _PART_BYTES)


def _unzstd() -> Any:
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError as exc:
        otherwise = "or give the output of zstdcat"
        raise missing_package("zstd", "zstandard", otherwise=otherwise) from exc
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT).decompressobj()


def _unxz() -> Any:
    return lzma.LZMADecompressor(memlimit=_DICTIONARY_LIMIT)


# How much is given at a time is what keeps the result of a step small: deflate unpacks
# to 1032 times as much at most, a zstd block of 4 bytes to 128 KiB. The other two stop
# at a limit by themselves.
_PACKS = (
    _Pack("gzip", b"\x1f\x8b", lambda: zlib.decompressobj(31), _at_once, 1 << 12),
    _Pack("bzip2", b"BZh", bz2.BZ2Decompressor, _by_parts, 1 << 14),
    _Pack("xz", b"\xfd7zXZ\0", _unxz, _by_parts, 1 << 14),
    _Pack("zstd", b"\x28\xb5\x2f\xfd", _unzstd, _at_once, 1 << 8),
)
