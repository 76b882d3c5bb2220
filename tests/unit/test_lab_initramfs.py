"""The newc writer against cpio(1), and what init does."""

import os
import stat
import subprocess

import pytest

from e820pool.lab.guest import init_script
from e820pool.lab.initramfs import device_entry, directory, encode_newc, regular


def test_cpio_unpacks_what_was_written(tmp_path):
    archive = encode_newc(
        (
            directory("bin"),
            regular("bin/tool", b"\x7fELF" + bytes(100)),
            regular("empty", b"", 0o644),
            regular("odd", b"abc"),
        )
    )
    try:
        subprocess.run(
            ["cpio", "-i", "--quiet", "--no-absolute-filenames"],
            input=archive,
            cwd=tmp_path,
            check=True,
        )
    except FileNotFoundError:
        pytest.skip("cpio is not installed: install cpio")
    assert (tmp_path / "bin" / "tool").read_bytes() == b"\x7fELF" + bytes(100)
    assert os.access(tmp_path / "bin" / "tool", os.X_OK)
    assert (tmp_path / "empty").stat().st_size == 0
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o644
    assert (tmp_path / "odd").read_bytes() == b"abc"


def test_every_record_starts_on_four_bytes_and_the_archive_is_the_same_each_time():
    entries = [regular("a" * n, b"x" * n) for n in range(1, 9)]
    archive = encode_newc(entries)
    assert archive == encode_newc(entries)
    assert len(archive) % 4 == 0
    at = [n for n in range(0, len(archive), 4) if archive.startswith(b"070701", n)]
    assert len(at) == len(entries) + 1
    assert archive[at[-1] :].find(b"TRAILER!!!\0") == 110


def test_a_device_node_carries_its_numbers():
    record = encode_newc((device_entry("dev/console", 5, 1),))
    mode = int(record[14:22], 16)
    assert stat.S_ISCHR(mode)
    assert (int(record[78:86], 16), int(record[86:94], 16)) == (5, 1)


# 2.6.32.69 to 4.14.67 take 0 for 1, and keep the low zones free.
def test_no_zone_is_kept_from_being_filled():
    line = next(x for x in init_script().splitlines() if "lowmem_reserve" in x)
    ratios = [int(word) for word in line.split('"')[1].split()]
    assert min(ratios) > 1 << 26
