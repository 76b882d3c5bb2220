"""Where a machine that shows itself in files has its memory devices."""

import base64

import pytest
import rawbytes
from rawhandoff import GIB, MIB
from rawlive import RawAcpi, RawLive

from e820pool.memory_devices import MemoryDevices
from e820pool.sources.live_devices import read_live_devices
from e820pool.sources.recognise import read_live

NONE = MemoryDevices()
HOT = rawbytes.srat((0, 3 * GIB, 1), (5 * GIB, 8 * GIB, 3), (0, 0, 3))
COLD = rawbytes.srat((0, 3 * GIB, 1), (4 * GIB, GIB, 1), (5 * GIB, GIB, 2))
REGION = ((5 * GIB, 13 * GIB),)
# 5 GiB to 6 GiB in blocks of 128 MiB.
BLOCKS = tuple(range(40, 48))
DEVICE = (5 * GIB, 6 * GIB)


@pytest.mark.parametrize(
    ("acpi", "found"),
    [
        (RawAcpi(), NONE),
        (RawAcpi(srat=COLD), NONE),
        (RawAcpi(srat=HOT), MemoryDevices(regions=REGION)),
        (RawAcpi(devices=(BLOCKS,)), MemoryDevices(devices=(DEVICE,))),
        (
            RawAcpi(srat=HOT, devices=(BLOCKS, ())),
            MemoryDevices(devices=(DEVICE,), regions=REGION),
        ),
        # Two devices that touch stay two; a device may have two ranges.
        (
            RawAcpi(devices=((9, 8), (10,), (20, 22))),
            MemoryDevices(
                devices=tuple(
                    (at * 128 * MIB, end * 128 * MIB)
                    for at, end in ((8, 10), (10, 11), (20, 21), (22, 23))
                )
            ),
        ),
        (
            RawAcpi(devices=((2,),), block_bytes=2 * GIB),
            MemoryDevices(devices=((4 * GIB, 6 * GIB),)),
        ),
        # An empty slot, or a device that was not added, and nothing says where.
        (RawAcpi(devices=((),)), None),
        (RawAcpi(srat=COLD, devices=(BLOCKS, ())), None),
        # A table that is cut.
        (RawAcpi(srat=HOT[:-1], devices=(BLOCKS,)), None),
        (RawAcpi(srat=b""), None),
    ],
)
def test_devices_by_their_blocks_and_regions_by_the_srat(tmp_path, acpi, found):
    root = RawLive(acpi=acpi).write(tmp_path)
    assert read_live_devices(root) == found
    assert read_live(root).devices == found


def test_without_acpi_devices_are_not_known(tmp_path):
    assert read_live_devices(RawLive().write(tmp_path)) is None


@pytest.mark.parametrize("gone", ["tables/FACP", "tables/SRAT"])
def test_a_table_that_cannot_be_read_leaves_devices_unknown(tmp_path, gone):
    root = RawLive(acpi=RawAcpi(srat=HOT)).write(tmp_path)
    path = root / "sys/firmware/acpi" / gone
    path.unlink()
    if path.name == "SRAT":
        path.mkdir()
    assert read_live_devices(root) is None


def test_a_device_without_the_size_of_a_block_leaves_devices_unknown(tmp_path):
    root = RawLive(acpi=RawAcpi(devices=(BLOCKS,))).write(tmp_path)
    (root / "sys/devices/system/memory/block_size_bytes").unlink()
    assert read_live_devices(root) is None


def test_other_links_of_a_device_are_no_blocks(tmp_path):
    root = RawLive(acpi=RawAcpi(srat=HOT, devices=((),))).write(tmp_path)
    device = root / "sys/devices/LNXSYSTM:00/PNP0C80:00"
    (device / "physical_node").symlink_to("../../pci0000:00/0000:00:01.0")
    (device / "subsystem").symlink_to("../../bus/memory7")
    assert read_live_devices(root) == MemoryDevices(regions=REGION)


# QEMU 7.2 of 512 MiB with one pc-dimm of 256 MiB and two empty slots
# (-m 512M,slots=3,maxmem=8G), as 6.1 and 7.3 show it.
QEMU_SRAT = base64.b64decode(
    "U1JBVOAAAAAB80JPQ0hTIEJYUEMgICAgAQAAAEJYUEMBAAAAAQAAAAAAAAAAAAAAABAAAAEAAAAA"
    "AAAAAAAAAAEoAAAAAAAAAAAAAAAAAAAAAAoAAAAAAAAAAAABAAAAAAAAAAAAAAABKAAAAAAAAAAA"
    "EAAAAAAAAADwHwAAAAAAAAAAAQAAAAAAAAAAAAAAASgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAEoAAAAAAAAAAAAAAEAAAAAAACgAgAAAAAAAAADAAAAAAAAAAAAAAA="
)


def test_a_real_machine_s_device_and_slots(tmp_path):
    acpi = RawAcpi(srat=QEMU_SRAT, devices=((32, 33), (), ()))
    assert read_live_devices(RawLive(acpi=acpi).write(tmp_path)) == MemoryDevices(
        devices=((4 * GIB, 4 * GIB + 256 * MIB),),
        regions=((4 * GIB, 4 * GIB + 0x2_A000_0000),),
    )
