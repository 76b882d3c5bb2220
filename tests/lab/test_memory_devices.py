"""Machines with ACPI memory devices, which a kernel adds to its memory after boot.

Below 4 GiB the machine has RAM; the deposit is all of a device above. The guest brings
online what its kernel adds, as the udev rules of distributions do.
"""

from dataclasses import replace

import pytest
from labbench import LOW, MIB, PATIENT, boot_patiently

from e820pool.abi.pool_record import SETUP_E820POOL
from e820pool.compat.judge import judge, judge_boot
from e820pool.deposits import DepositLedger
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.kernel.profiles import profile_for
from e820pool.lab.chain import run_chain
from e820pool.lab.chain_model import ChainOptions
from e820pool.loading.kernel_file import KernelFile
from e820pool.memory_devices import MemoryDevices
from e820pool.memory_map import MemoryMap
from e820pool.pool.rebuild import rebuild

GIB = 1 << 30
DEVICE = (4 * GIB, 4 * GIB + 128 * MIB)
PAGES = (DEVICE[1] - DEVICE[0]) >> 12
RAM = (*LOW, (MIB, 255 * MIB, 1))
# The first is firmware that lists its devices; in a virtual machine none does.
LISTED = (*RAM, (DEVICE[0], DEVICE[1] - DEVICE[0], 1))


def handoff_of(ranges=(DEVICE,), rows=LISTED, **options):
    devices = MemoryDevices(devices=(DEVICE,))
    machine = replace(MemoryMap.of(rows), devices=devices)
    ledger = DepositLedger.of_ranges(ranges, owner=7)
    return build_handoff(machine, ledger, BuildOptions(**options))


def boot_with_device(handoff, image):
    return boot_patiently(handoff, image, memory_devices=(DEVICE,))


def is_added(record):
    """Return whether /proc/iomem shows System RAM over all of the device."""
    line = f"{DEVICE[0]:x}-{DEVICE[1] - 1:x} : System RAM"
    return line in record.report.text("iomem")


def check_kept(record, handoff):
    assert not is_added(record)
    assert not record.view.touched_deposits, record.view.findings
    verdict = judge_boot(record, profile_for(record.view.kernel)).verdict
    assert verdict.verdict == "safe", verdict.findings
    (pool_record,) = [
        data for kind, data in record.report.setup_data() if kind == SETUP_E820POOL
    ]
    result = rebuild(record.view, pool_record, handoff.firmware_map)
    assert result.ledger == handoff.ledger, result.findings


def test_a_reserved_device_is_added_and_used_as_foreseen(image_of):
    handoff = handoff_of(encoding="split")
    told = {one.id: one for one in judge(handoff, profile_for("6.1")).findings}
    assert set(told) == {"memory-hot-add", "config-assumed"}
    assert "ACPI_HOTPLUG_MEMORY=y is assumed" in told["config-assumed"].message
    record = boot_with_device(handoff, image_of("6.1").read())
    assert is_added(record)
    assert record.view.touched_deposits.nr_pages > 0.9 * PAGES


def test_a_deposit_over_a_whole_device_is_left_alone_and_comes_back(image_of):
    handoff = handoff_of()
    check_kept(boot_with_device(handoff, image_of("newest").read()), handoff)


@pytest.mark.slow
def test_every_kernel_leaves_it_alone_with_the_device(kernel):
    handoff = handoff_of()
    check_kept(boot_with_device(handoff, kernel.read()), handoff)


@pytest.mark.slow
def test_every_kernel_uses_what_is_only_reserved(kernel):
    record = boot_with_device(handoff_of(encoding="split"), kernel.read())
    assert is_added(record)
    assert record.view.touched_deposits.nr_pages > 0.9 * PAGES


def test_reserved_that_fills_a_device_with_a_gap_is_not_in_its_way(image_of):
    """RESERVED is a resource only after ACPI's devices: it lies within System RAM."""
    half = (DEVICE[0], DEVICE[0] + 64 * MIB)
    rows = (*RAM, (half[0], 64 * MIB, 1))
    image = image_of("6.12").read()
    record = boot_with_device(handoff_of([half], rows, encoding="split"), image)
    assert is_added(record)
    assert f"  {half[0]:x}-{half[1] - 1:x} : Reserved" in record.report.text("iomem")
    assert record.view.touched_deposits.nr_pages > 0.9 * PAGES / 2
    handoff = handoff_of([half], rows)
    check_kept(boot_with_device(handoff, image), handoff)


@pytest.mark.slow
def test_without_the_device_reserved_is_enough(kernel):
    record = boot_patiently(handoff_of(encoding="split"), kernel.read())
    assert not is_added(record)
    assert not record.view.touched_deposits


@pytest.mark.slow
def test_a_deposit_in_a_device_that_no_map_has_is_carried(kernel):
    """The rest of the device is memory to the kernel, and is not added again."""
    pages = (DEVICE[0] + 16 * MIB, DEVICE[0] + 18 * MIB)
    handoff = handoff_of([pages], RAM)
    record = boot_with_device(handoff, kernel.read())
    check_kept(record, handoff)
    assert (record.view.usable_pages().to_bytes()).contains(pages[1], DEVICE[1])


def chain_of(image_of, rows, loader, names=("6.1", "5.10", "6.12"), **options):
    images = [image_of(name) for name in names]
    kernels = [
        KernelFile(name=one.version, image=one.read(), config=one.read_config())
        for one in images
    ]
    options = {
        "loaders": (loader,),
        "carrier": "setup_data" if loader == "ours" else "none",
        "accelerator": "tcg",
        "deadlines": PATIENT,
        "memory_devices": (DEVICE,),
    } | options
    return run_chain(MemoryMap.of(rows), kernels, ChainOptions(**options))


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["ours", "kexec-load", "kexec-file"])
def test_a_whole_device_is_carried_over_an_old_kernel(image_of, loader):
    """Stock kexec-tools make RESERVED of type 5 and leave type 3 as it is."""
    record = chain_of(
        image_of,
        LISTED,
        loader,
        inherited=DepositLedger.of_ranges([DEVICE], owner=7),
        nr_pages=0,
        nr_huge=0,
    )
    assert record.is_intact, (record.stopped, record.touched)
    assert [hop.given.extents.nr_pages for hop in record.hops] == [PAGES] * 3


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["ours", "kexec-load"])
def test_deposits_made_in_hot_added_memory_are_carried(image_of, loader):
    record = chain_of(image_of, RAM, loader)
    assert record.is_intact, (record.stopped, record.touched)
    low, high = DEVICE[0] >> 12, DEVICE[1] >> 12
    assert any(low <= start < high for start, _ in record.hops[-1].given.extents)
