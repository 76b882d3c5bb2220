"""Unpack the kernel inside a bzImage, for the configuration that it may carry."""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from typing import TYPE_CHECKING, Any

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import BadImageError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("embedded_config", "unpack_kernel")

# A kernel that unpacks to more is taken for a damaged one.
_MAX_KERNEL_BYTES = 1 << 30

# CONFIG_IKCONFIG: kernel/configs.c puts a gzip file between these marks.
_CONFIG_START, _CONFIG_END = b"IKCFG_ST", b"IKCFG_ED"

# LZ4 as `lz4 -l` writes it: blocks of 8 MiB, each with its length before it.
_LZ4_MAGIC = b"\x02\x21\x4c\x18"
_LZ4_BLOCK_BYTES = 8 << 20


def embedded_config(image: bytes) -> str:
    """Return the configuration that a kernel built with CONFIG_IKCONFIG carries.

    Empty if it carries none.

    Raises:
        BadImageError: it is no bzImage, or its payload is damaged.
        InputError: a package that unpacks it is not installed.
    """
    kernel = unpack_kernel(image)
    start = kernel.find(_CONFIG_START)
    end = kernel.find(_CONFIG_END, start)
    if start < 0 or end < 0:
        return ""
    packed = kernel[start + len(_CONFIG_START) : end]
    return _whole("gzip", _gunzip, packed).decode("utf-8", "replace")


def unpack_kernel(image: bytes) -> bytes:
    """Return the ELF file that the decompressor of a bzImage unpacks.

    Empty if the image's protocol is too old to say where it is, or if it is packed in
    a way that is not known here (lzo).

    Raises:
        BadImageError: it is no bzImage, or its payload is damaged.
        InputError: a package that unpacks it is not installed.
    """
    header = parse_bzimage(image)
    start = header.payload_offset
    payload = image[start : start + header.payload_length]
    for magic, (name, unpack) in _METHODS.items():
        if start and payload.startswith(magic):
            return _whole(name, unpack, payload)
    return b""


def _whole(name: str, unpack: Callable[[bytes], bytes], packed: bytes) -> bytes:
    try:
        data = unpack(packed)
    except (ValueError, OSError, EOFError, RuntimeError, *_ERRORS) as exc:
        raise BadImageError(
            f"{name} data of {len(packed):#x} bytes is damaged: {exc}"
        ) from exc
    if len(data) >= _MAX_KERNEL_BYTES:
        raise BadImageError(f"{name} data unpacks to {_MAX_KERNEL_BYTES:#x} bytes")
    return data


def _gunzip(packed: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(packed, _MAX_KERNEL_BYTES)


# The size that the build appends to the payload is no part of the stream.
def _unxz(packed: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(packed, _MAX_KERNEL_BYTES)


def _bunzip(packed: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(packed, _MAX_KERNEL_BYTES)


def _unzstd(packed: bytes) -> bytes:
    zstandard = _package("zstandard")
    reader = zstandard.ZstdDecompressor().stream_reader(packed)
    try:
        data: bytes = reader.read(_MAX_KERNEL_BYTES)
    except zstandard.ZstdError as exc:
        raise ValueError(str(exc)) from exc
    return data


def _unlz4(packed: bytes) -> bytes:
    block = _package("lz4.block")
    parts, at, total = [], len(_LZ4_MAGIC), 0
    while total < _MAX_KERNEL_BYTES:
        length = int.from_bytes(packed[at : at + 4], "little")
        at += 4
        # The last word is the size of it all, which is no block that is there.
        if not length or at + length > len(packed):
            break
        part = block.decompress(packed[at : at + length], _LZ4_BLOCK_BYTES)
        parts.append(part)
        at, total = at + length, total + len(part)
    return b"".join(parts)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise InputError(
            f"a kernel packed with {name.partition('.')[0]} cannot be unpacked here: "
            "install e820pool[images], or give its configuration with --config"
        ) from exc


_ERRORS = (zlib.error, lzma.LZMAError)
_METHODS: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": ("gzip", _gunzip),
    b"\xfd7zXZ\0": ("xz", _unxz),
    b"\x5d\0\0": ("lzma", _unxz),
    b"BZh": ("bzip2", _bunzip),
    b"\x28\xb5\x2f\xfd": ("zstd", _unzstd),
    _LZ4_MAGIC: ("lz4", _unlz4),
}
