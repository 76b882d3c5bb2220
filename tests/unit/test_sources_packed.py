"""What is packed is read as what it holds, within bounds, whatever it claims."""

import bz2
import gzip
import io
import lzma
import sys
import tracemalloc

import printers
import pytest

from e820pool.errors import BadImageError, MachineError
from e820pool.sources import packed
from e820pool.sources.packed import unpacked
from e820pool.sources.recognise import read_map

LOG = printers.linux(printers.ROWS).encode()
PACKS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def zstd(data):
    zstandard = pytest.importorskip("zstandard", reason="pip install e820pool[images]")
    return zstandard.ZstdCompressor().compress(data)


ALL = {**PACKS, "zstd": zstd}


@pytest.fixture
def small(monkeypatch):
    """Return a limit that a test can go beyond."""
    monkeypatch.setattr(packed, "INPUT_LIMIT", 1 << 20)
    return 1 << 20


@pytest.mark.parametrize("name", ALL)
def test_a_packed_log_reads_and_says_what_packed_it(name):
    found = read_map("-", stdin=io.BytesIO(ALL[name](LOG)))
    assert found.rows() == list(printers.ROWS)
    assert f"({name})" in found.origin


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("padding", [b"", b"\0" * 512])
def test_members_that_were_appended_are_all_read(name, padding):
    half = len(LOG) // 2
    data = ALL[name](LOG[:half]) + padding + ALL[name](LOG[half:]) + padding
    assert unpacked(data, "x") == (LOG, name)


@pytest.mark.parametrize("name", ALL)
def test_what_is_cut_is_refused_and_never_taken_for_whole(name):
    data = ALL[name](bytes(range(256)) * 20 + LOG)
    for end in (len(data) // 2, len(data) - 1):
        with pytest.raises(BadImageError, match=r"damaged: .*after 0x"):
            unpacked(data[:end], "x")


@pytest.mark.parametrize("name", ALL)
def test_a_bomb_is_refused_at_the_limit_and_never_held(name, small):
    data = ALL[name](bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(BadImageError, match=f"more than the limit of {small:#x}"):
            unpacked(data, "x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # One step's result beside what is held; nothing like the 64 MiB.
    assert peak < 40 << 20


def test_packs_in_packs_have_a_limit():
    assert unpacked(bz2.compress(gzip.compress(LOG)), "x") == (LOG, "gzip of bzip2")
    with pytest.raises(BadImageError, match="the limit is 2 packs"):
        unpacked(gzip.compress(gzip.compress(gzip.compress(LOG))), "x")


def test_members_have_a_limit():
    with pytest.raises(BadImageError, match="more than 0x4000 members"):
        unpacked(gzip.compress(b"") * 20_000, "x")


def test_an_empty_pack_is_refused():
    with pytest.raises(BadImageError, match="gzip of 0 bytes"):
        unpacked(gzip.compress(b""), "x")


def test_without_its_package_zstd_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MachineError, match=r"pip install zstandard.*zstdcat"):
        unpacked(b"\x28\xb5\x2f\xfd" + bytes(20), "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04" + bytes(100), "a ZIP archive: unzip it"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7-Zip"),
        (bytes(257) + b"ustar" + bytes(300), "a tar archive: unpack it"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(300), mtime=0), "a tar archive"),
    ],
)
def test_an_archive_is_named_with_what_to_do(data, message):
    with pytest.raises(BadImageError, match=message):
        read_map("-", stdin=io.BytesIO(data))
