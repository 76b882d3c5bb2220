"""Unpack the kernel inside a bzImage, for the configuration that it may carry."""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from typing import TYPE_CHECKING, Any

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import BadImageError, missing_package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("CONFIG_LIMIT", "KERNEL_LIMIT", "embedded_config", "kernel_parts")

KERNEL_LIMIT = 256 << 20  #: Bytes of an unpacked kernel; Debian's has 60 MiB.
CONFIG_LIMIT = 16 << 20  #: Bytes of a configuration; a distribution's has 300 KiB.

# What is held of a kernel at a time.
_PART_BYTES = 1 << 20

# CONFIG_IKCONFIG: kernel/configs.c puts a gzip file between these marks.
_CONFIG_START, _CONFIG_END = b"IKCFG_ST", b"IKCFG_ED"

# What an unpacker may hold of what it has made. The kernel's build takes 128 MiB at
# most (scripts/xz_wrap.sh of 6.12 to 7.3; cmd_zstd22 in scripts/Makefile.lib).
_DICTIONARY_LIMIT, _WINDOW_LIMIT = 256 << 20, 1 << 27

# LZ4 as `lz4 -l` writes it: blocks of 8 MiB, each with its length before it.
_LZ4_MAGIC = b"\x02\x21\x4c\x18"
_LZ4_BLOCK_BYTES = 8 << 20


def embedded_config(image: bytes) -> str:
    """Return the configuration that a kernel built with CONFIG_IKCONFIG carries.

    Empty if it carries none. The kernel is unpacked part by part and not held.

    Raises:
        BadImageError: it is no bzImage, its payload is damaged, or it unpacks to more
            than :data:`KERNEL_LIMIT`, its configuration to more than
            :data:`CONFIG_LIMIT` bytes.
        MachineError: a package that unpacks it is not installed.
    """
    packed = _between_marks(kernel_parts(image))
    if packed is None:
        return ""
    parts = _bounded(_methods()[b"\x1f\x8b"], packed, CONFIG_LIMIT)
    return b"".join(parts).decode("utf-8", "replace")


def kernel_parts(image: bytes) -> Iterator[bytes]:
    """Yield, part by part, the ELF file that a bzImage's decompressor unpacks.

    Nothing if the image's protocol is too old to say where it is, or if it is packed
    in a way that is not known here (lzo).

    Raises:
        BadImageError: it is no bzImage, or its payload is damaged or unpacks to more
            than :data:`KERNEL_LIMIT` bytes.
        MachineError: a package that unpacks it is not installed.
    """
    header = parse_bzimage(image)
    start = header.payload_offset
    payload = image[start : start + header.payload_length]
    for magic, method in _methods().items():
        if start and payload.startswith(magic):
            yield from _bounded(method, payload, KERNEL_LIMIT)


# What lies between the two marks, None without them; either may be cut by a border.
def _between_marks(parts: Iterator[bytes]) -> bytes | None:
    window = b""
    for part in parts:
        window += part
        start = window.find(_CONFIG_START)
        if start < 0:
            window = window[-len(_CONFIG_START) + 1 :]
            continue
        packed = bytearray(window[start + len(_CONFIG_START) :])
        searched = 0
        while (end := packed.find(_CONFIG_END, searched)) < 0:
            searched = max(0, len(packed) - len(_CONFIG_END) + 1)
            more = next(parts, b"")
            if not more or len(packed) > CONFIG_LIMIT:
                return None
            packed += more
        return bytes(packed[:end])
    return None


def _bounded(method: _Method, packed: bytes, limit: int) -> Iterator[bytes]:
    name, unpack = method
    total = 0
    try:
        for part in unpack(packed):
            total += len(part)
            if total > limit:
                raise BadImageError(
                    f"{name} data of {len(packed):#x} bytes unpacks to more than the "
                    f"limit of {limit:#x} bytes"
                )
            yield part
    except (ValueError, OSError, EOFError, RuntimeError, *_ERRORS) as exc:
        raise BadImageError(
            f"{name} data of {len(packed):#x} bytes is damaged: {exc}"
        ) from exc


def _gunzip(packed: bytes) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=31)
    while not stream.eof and packed:
        yield stream.decompress(packed, _PART_BYTES)
        packed = stream.unconsumed_tail


# The size that the build appends to the payload is no part of the stream.
def _unxz(packed: bytes) -> Iterator[bytes]:
    return _until_eof(lzma.LZMADecompressor(memlimit=_DICTIONARY_LIMIT), packed)


def _bunzip(packed: bytes) -> Iterator[bytes]:
    return _until_eof(bz2.BZ2Decompressor(), packed)


def _until_eof(stream: Any, packed: bytes) -> Iterator[bytes]:
    while not stream.eof:
        part: bytes = stream.decompress(packed, _PART_BYTES)
        packed = b""
        yield part
        if not part and stream.needs_input:
            return


def _unzstd(packed: bytes) -> Iterator[bytes]:
    zstandard = _package("zstandard")
    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT).stream_reader(
            packed
        ) as reader:
            # A part that is not full is the last of the frame; the size that the
            # build appends follows.
            full = True
            while full:
                part = reader.read(_PART_BYTES)
                full = len(part) == _PART_BYTES
                yield part
    except zstandard.ZstdError as exc:
        raise ValueError(str(exc)) from exc


def _unlz4(packed: bytes) -> Iterator[bytes]:
    block = _package("lz4.block")
    at = len(_LZ4_MAGIC)
    while length := int.from_bytes(packed[at : at + 4], "little"):
        at += 4
        # The last word is the size of it all, which is no block that is there.
        if at + length > len(packed):
            return
        try:
            part = block.decompress(packed[at : at + length], _LZ4_BLOCK_BYTES)
        except block.LZ4BlockError as exc:
            raise ValueError(str(exc)) from exc
        yield part
        at += length


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise missing_package(
            "to unpack this kernel",
            name.partition(".")[0],
            otherwise="or give its configuration with --config",
        ) from exc


_ERRORS = (zlib.error, lzma.LZMAError)
_Method = tuple[str, "Callable[[bytes], Iterator[bytes]]"]


def _methods() -> dict[bytes, _Method]:
    return {
        b"\x1f\x8b": ("gzip", _gunzip),
        b"\xfd7zXZ\0": ("xz", _unxz),
        b"\x5d\0\0": ("lzma", _unxz),
        b"BZh": ("bzip2", _bunzip),
        b"\x28\xb5\x2f\xfd": ("zstd", _unzstd),
        _LZ4_MAGIC: ("lz4", _unlz4),
    }
