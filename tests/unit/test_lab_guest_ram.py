"""The RAM file: its layout, and pages that were read or written."""

import mmap
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from e820pool.errors import BadImageError, LabError
from e820pool.extents import ExtentSet
from e820pool.lab.guest_ram import (
    FIRMWARE_SLACK_BYTES,
    GuestRam,
    RamLayout,
    layout_for,
    validate_page_granularity,
)

MIB, GIB = 1 << 20, 1 << 30
FOUR_GIB_PFN = 4 * GIB >> 12
SHM = Path("/dev/shm")  # noqa: S108  the tmpfs that the tests are about


@pytest.fixture(params=["memory", "folder"])
def folder(request):
    """Return None, or a folder of this test's own on a tmpfs that others use too."""
    if request.param == "memory":
        yield None
        return
    if not SHM.is_dir():
        pytest.skip("no tmpfs at /dev/shm")
    with tempfile.TemporaryDirectory(dir=SHM) as made:
        yield Path(made)


def view_of(ram):
    return mmap.mmap(ram.fileno, ram.layout.total_bytes)


def test_ram_above_4_gib_follows_the_low_part_in_the_file():
    layout = RamLayout(low_bytes=64 * MIB, high_bytes=64 * MIB)
    high = ExtentSet([(FOUR_GIB_PFN + 1, FOUR_GIB_PFN + 3)])
    assert list(layout.file_runs(high)) == [
        (0, 64 * MIB + 4096, 8192, FOUR_GIB_PFN + 1),
    ]
    # A run of the file over the seam is two runs of memory.
    pages = list(layout.pages_of_file(64 * MIB - 4096, 64 * MIB + 4096))
    assert pages == [
        ((64 * MIB >> 12) - 1, 64 * MIB >> 12),
        (FOUR_GIB_PFN, FOUR_GIB_PFN + 1),
    ]
    assert layout.pages().nr_pages * 4096 == layout.total_bytes


def test_pages_that_are_not_ram_have_no_place_in_the_file():
    layout = RamLayout(low_bytes=64 * MIB)
    outside = ExtentSet([(64 * MIB >> 12, 65 * MIB >> 12)])
    assert list(layout.file_runs(outside)) == []


@pytest.mark.parametrize(
    ("ram", "low", "high"),
    [
        ([(0, 320 * MIB)], 320 * MIB, 0),
        ([(0, 100 * MIB + 4096)], 101 * MIB, 0),
        ([(0, 64 * MIB), (4 * GIB, 5 * GIB)], 64 * MIB, GIB),
        ([(0, 3 * GIB + 512 * MIB - 16 * MIB)], 3 * GIB + 496 * MIB, 0),
    ],
)
def test_the_machine_has_the_ram_of_the_map_and_slack_for_its_firmware(ram, low, high):
    layout = layout_for(ExtentSet((start >> 12, end >> 12) for start, end in ram))
    assert layout.low_bytes == low + FIRMWARE_SLACK_BYTES
    assert layout.high_bytes == high


@pytest.mark.parametrize(
    "ram",
    [
        [(4 * GIB, 5 * GIB)],
        [(0, 3 * GIB + 513 * MIB)],
        [(0, 3 * GIB + MIB), (4 * GIB, 5 * GIB)],
    ],
)
def test_ram_where_no_pc_has_it_is_a_lab_error(ram):
    with pytest.raises(LabError, match="cannot be built in QEMU"):
        layout_for(ExtentSet((start >> 12, end >> 12) for start, end in ram))


@pytest.mark.parametrize(
    ("end", "has_acpi"),
    [
        (0xBFFDB000, True),  # QEMU's own PC: its tables lie from there on
        (0xBFFE0000, True),
        (0xBFFE1000, False),
        (0xC0000000, False),  # Firecracker
    ],
)
def test_ram_that_ends_near_3_gib_leaves_no_room_for_scratch_memory(end, has_acpi):
    ram = [(0, end), (4 * GIB, 5 * GIB)]
    layout = layout_for(ExtentSet((a >> 12, b >> 12) for a, b in ram))
    assert (layout.low_bytes, layout.has_acpi) == (3 * GIB, has_acpi)


def test_reads_and_writes_are_seen_and_nothing_else(folder):
    with GuestRam(RamLayout(low_bytes=4 * MIB), folder) as ram:
        assert not ram.touched()
        with view_of(ram) as view:
            view[5 * 4096 : 5 * 4096 + 1]
            view[9 * 4096] = 1
        assert list(ram.touched()) == [(5, 6), (9, 10)]
        ram.clear(ExtentSet([(5, 6)]))
        assert list(ram.touched()) == [(9, 10)]
    if folder:
        assert list(folder.iterdir()) == []


def test_looking_for_changes_touches_nothing():
    pages, pattern = ExtentSet([(3, 6), (700, 705)]), b"p" * 4096
    with GuestRam(RamLayout(low_bytes=4 * MIB)) as ram:
        assert not ram.differing(pages, bytes(4096))
        assert not ram.touched()
        ram.fill(pages, pattern)
        assert not ram.differing(pages, pattern)
        assert ram.touched() == pages
        with view_of(ram) as view:
            view[704 * 4096 + 4095] = 0
            view[4 * 4096 : 4 * 4096 + 1]
        assert list(ram.differing(pages, pattern)) == [(704, 705)]


def test_changes_are_found_beyond_what_is_compared_at_a_time():
    pages = ExtentSet([(0, 3 * 1024)])
    with GuestRam(RamLayout(low_bytes=16 * MIB)) as ram:
        with view_of(ram) as view:
            view[3000 * 4096 + 1] = 7
        assert list(ram.differing(pages, bytes(4096))) == [(3000, 3001)]


def test_memory_tells_single_pages_apart():
    validate_page_granularity()


def test_a_folder_that_is_no_tmpfs_is_refused(tmp_path):
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True
    ).stdout.strip()
    if kind == "tmpfs":
        pytest.skip("the tests' own folder is on a tmpfs: give --basetemp another")
    with pytest.raises(LabError, match=r"must be on a tmpfs|guest RAM of"):
        validate_page_granularity(tmp_path)


def test_a_closed_file_is_closed_once():
    ram = GuestRam(RamLayout(low_bytes=MIB))
    fd = ram.fileno
    ram.close()
    ram.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


DEVICES = ((4 * GIB, 4 * GIB + 128 * MIB), (5 * GIB, 5 * GIB + 256 * MIB))


def test_each_memory_device_is_a_file_of_its_own():
    layout = RamLayout(low_bytes=4 * MIB, devices=DEVICES)
    assert layout.file_sizes == (4 * MIB, 128 * MIB, 256 * MIB)
    pages = ExtentSet([(1, 2), (FOUR_GIB_PFN + 7, FOUR_GIB_PFN + 9)])
    last = (5 * GIB + 256 * MIB - 4096) >> 12
    with GuestRam(layout) as ram:
        assert len(ram.filenos) == 3
        ram.write(1, b"a")
        ram.write(FOUR_GIB_PFN + 7, b"b" * 4097)
        with pytest.raises(LabError, match="0x2000 bytes are not all RAM"):
            ram.write(last, b"c" * 8192)
        assert os.pread(ram.filenos[1], 2, 7 * 4096) == b"bb"
        assert os.pread(ram.filenos[2], 2, 256 * MIB - 4096) == b"cc"
        assert ram.touched() == pages | ExtentSet([(last, last + 1)])
        ram.clear(pages)
        assert ram.touched() == ExtentSet([(last, last + 1)])
        assert ram.differing(ExtentSet([(last - 1, last + 1)]), bytes(4096)) == (
            ExtentSet([(last, last + 1)])
        )


def test_what_lies_in_a_memory_device_is_no_ram_at_power_on():
    ram = ExtentSet([(0, 64 * MIB >> 12), (FOUR_GIB_PFN, FOUR_GIB_PFN + 1024)])
    layout = layout_for(ram, DEVICES[::-1])
    assert layout.high_bytes == 0
    assert layout.devices == DEVICES
    assert layout.pages().covers(ram)


@pytest.mark.parametrize(
    ("high", "device", "reason"),
    [
        ([], (4 * GIB, 4 * GIB + 64 * MIB), "multiples of 0x8000000"),
        ([], (3 * GIB, 4 * GIB), "below 0x100000000 is RAM"),
        # QEMU begins the room for devices at a multiple of 1 GiB.
        (
            [(4 * GIB, 5 * GIB + MIB)],
            (5 * GIB + 128 * MIB, 6 * GIB),
            "below 0x180000000",
        ),
    ],
)
def test_a_memory_device_where_no_pc_has_it_is_a_lab_error(high, device, reason):
    ram = [(0, 64 * MIB), *high]
    with pytest.raises(LabError, match=reason):
        layout_for(ExtentSet((a >> 12, b >> 12) for a, b in ram), [device])


def test_bytes_are_put_back_where_they_are_not_as_they_should_be():
    layout = RamLayout(low_bytes=4 * MIB, high_bytes=2 * MIB)
    with GuestRam(layout) as ram:
        ram.restore(0x1FF0, b"x" * 40)
        assert os.pread(ram.fileno, 42, 0x1FEF) == b"\0" + b"x" * 40 + b"\0"
        ram.restore(0x1FF0, b"x" * 40)
        ram.restore(4 * GIB + 8, b"high")
        assert os.pread(ram.fileno, 4, 4 * MIB + 8) == b"high"
        # What is there is only looked at: no other page gets content.
        assert ram.touched() == ExtentSet([(1, 3), (FOUR_GIB_PFN, FOUR_GIB_PFN + 1)])
        ram.restore(0, b"")


def test_memory_is_read_by_address_also_over_the_seam_of_two_pages():
    with GuestRam(RamLayout(low_bytes=64 * MIB, high_bytes=64 * MIB)) as ram:
        ram.restore(MIB - 3, b"abcdef")
        ram.restore(4 * GIB + 5, b"high")
        assert ram.read(MIB - 4, 8) == b"\0abcdef\0"
        assert ram.read(4 * GIB + 5, 4) == b"high"
        for addr, size in ((64 * MIB - 2, 4), (4 * GIB - 1, 2), (5 * GIB, 1)):
            with pytest.raises(BadImageError, match=f"no memory at \\[mem {addr:#x}-"):
                ram.read(addr, size)


def test_a_copy_stays_as_it_was_and_its_holes_are_holes():
    with GuestRam(RamLayout(low_bytes=64 * MIB)) as ram:
        ram.restore(MIB, b"before")
        with ram.copy() as kept:
            ram.restore(MIB, b"behind")
            assert kept.read(MIB, 6) == b"before"
            assert kept.touched() == ExtentSet([(MIB >> 12, (MIB >> 12) + 1)])
