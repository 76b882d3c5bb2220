"""Kernels inside images, and the configuration inside kernels."""

import bz2
import gzip
import lzma
import struct
import tracemalloc
from contextlib import suppress

import pytest
import rawbytes

from e820pool.errors import BadImageError, MachineError
from e820pool.sources import kernel_payload
from e820pool.sources.kernel_config import parse_config_text, read_config
from e820pool.sources.kernel_payload import embedded_config, kernel_parts


def unpack_kernel(image):
    return b"".join(kernel_parts(image))


CONFIG = "# CONFIG_EFI is not set\nCONFIG_NODES_SHIFT=6\n"
KERNEL = b"\x7fELF" + bytes(5000) + b"end"
CARRIED = b"IKCFG_ST" + gzip.compress(CONFIG.encode()) + b"IKCFG_ED"
# The build appends the unpacked size to all but gzip.
SIZE = struct.pack("<I", len(KERNEL))


def lz4_legacy(data):
    """Blocks without compression: one run of literals each."""
    packed = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 4096):
        part = data[at : at + 4096]
        more = len(part) - 15
        block = b"\xf0" + b"\xff" * (more // 255) + bytes([more % 255]) + part
        packed += struct.pack("<I", len(block)) + block
    return packed


def zstd_raw(data):
    """A frame of one raw block: magic, header, three bytes of block header."""
    assert 256 < len(data) < 65536
    header = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", len(data) - 256)
    return header + struct.pack("<I", len(data) << 3 | 1)[:3] + data


PACKERS = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, format=lzma.FORMAT_XZ) + SIZE,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE) + SIZE,
    "bzip2": lambda data: bz2.compress(data) + SIZE,
    "zstd": lambda data: zstd_raw(data) + SIZE,
    "lz4": lambda data: lz4_legacy(data) + SIZE,
}


@pytest.mark.parametrize("method", PACKERS)
def test_a_kernel_is_unpacked_whatever_it_is_packed_with(method):
    assert unpack_kernel(rawbytes.bzimage(payload=PACKERS[method](KERNEL))) == KERNEL


@pytest.mark.parametrize("method", PACKERS)
def test_the_configuration_that_a_kernel_carries_is_read(method):
    packed = PACKERS[method](KERNEL + CARRIED + KERNEL)
    text = embedded_config(rawbytes.bzimage(payload=packed))
    assert parse_config_text(text) == {"EFI": "n", "NODES_SHIFT": "6"}


def test_a_kernel_that_carries_none_has_none():
    assert embedded_config(rawbytes.bzimage(payload=gzip.compress(KERNEL))) == ""
    assert embedded_config(rawbytes.bzimage(payload=b"packed with something")) == ""
    assert embedded_config(rawbytes.bzimage(version=0x207, payload_length=0)) == ""


@pytest.mark.parametrize("method", PACKERS)
def test_a_damaged_payload_says_so_or_is_short(method):
    packed = PACKERS[method](KERNEL)
    for cut in (8, len(packed) // 2):
        image = rawbytes.bzimage(payload=packed[:cut] + b"\xff" * 40)
        try:
            assert not unpack_kernel(image).startswith(KERNEL)
        except BadImageError as error:
            assert method in str(error)  # noqa: PT017  either is right


@pytest.mark.parametrize("method", PACKERS)
def test_a_changed_byte_anywhere_is_no_error_of_another_s(method):
    """lz4 has an exception of its own: it ended as a fault of ours."""
    packed = PACKERS[method](KERNEL)
    for at in (*range(24), *range(24, len(packed), len(packed) // 50 + 1)):
        damaged = packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :]
        with suppress(BadImageError):
            unpack_kernel(rawbytes.bzimage(payload=damaged))


@pytest.mark.parametrize("method", ["zstd", "lz4"])
def test_a_package_that_is_missing_is_named(method, monkeypatch):
    def no_module(name):
        raise ImportError(name)

    monkeypatch.setattr(kernel_payload.importlib, "import_module", no_module)
    with pytest.raises(MachineError, match=r"pip install (zstandard|lz4)"):
        unpack_kernel(rawbytes.bzimage(payload=PACKERS[method](KERNEL)))


def test_a_configuration_file_may_be_packed(tmp_path):
    plain, packed = tmp_path / "config", tmp_path / "config.gz"
    plain.write_text(CONFIG)
    packed.write_bytes(gzip.compress(CONFIG.encode()))
    assert read_config(str(plain)) == read_config(str(packed))
    assert read_config(str(plain)) == {"EFI": "n", "NODES_SHIFT": "6"}


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"EFI=y\n", "sets no option"), (b"\x1f\x8bxxxx", "damaged")],
)
def test_what_is_no_configuration_is_refused(data, words, tmp_path):
    (tmp_path / "config").write_bytes(data)
    with pytest.raises(BadImageError, match=words):
        read_config(str(tmp_path / "config"))


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_mark_at_the_border_of_two_parts_is_found(cut, monkeypatch):
    before = len(CARRIED) + len(KERNEL) - cut
    monkeypatch.setattr(kernel_payload, "_PART_BYTES", before // 2 or 1)
    packed = gzip.compress(KERNEL[:cut] + CARRIED + KERNEL)
    text = embedded_config(rawbytes.bzimage(payload=packed))
    assert parse_config_text(text) == {"EFI": "n", "NODES_SHIFT": "6"}


@pytest.mark.parametrize("method", ["gzip", "xz", "bzip2"])
def test_a_bomb_is_refused_at_the_stated_size_and_never_held(method, monkeypatch):
    """A 30 KB image took 72 s and 2 GiB."""
    assert kernel_payload.KERNEL_LIMIT == 256 << 20
    monkeypatch.setattr(kernel_payload, "KERNEL_LIMIT", 16 << 20)
    packed = PACKERS[method](bytes(17 << 20))
    image = rawbytes.bzimage(payload=packed)
    tracemalloc.start()
    try:
        with pytest.raises(BadImageError, match="more than the limit of 0x1000000 "):
            embedded_config(image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (12 << 20) + 4 * len(image)


def test_a_configuration_that_is_a_bomb_is_refused():
    bomb = gzip.compress(bytes(kernel_payload.CONFIG_LIMIT + 1))
    carried = b"IKCFG_ST" + bomb + b"IKCFG_ED"
    image = rawbytes.bzimage(payload=gzip.compress(carried))
    with pytest.raises(BadImageError, match="more than the limit of 0x1000000 "):
        embedded_config(image)
