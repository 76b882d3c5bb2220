"""Machines with ACPI memory devices, which a kernel adds to its memory after boot.

Below 4 GiB the machine has RAM; the deposit is all of a device above.
"""

import pytest
from labbench import LOW, MIB, boot_patiently, handoff_of

GIB = 1 << 30
DEVICE = (4 * GIB, 4 * GIB + 128 * MIB)
PAGES = (DEVICE[1] - DEVICE[0]) >> 12
ROWS = (*LOW, (MIB, 255 * MIB, 1), (DEVICE[0], DEVICE[1] - DEVICE[0], 1))


def boot_with_device(handoff, image, **options):
    return boot_patiently(handoff, image, memory_devices=(DEVICE,), **options)


def added(record):
    """Return whether /proc/iomem shows System RAM over all of the device."""
    line = f"{DEVICE[0]:x}-{DEVICE[1] - 1:x} : System RAM"
    return line in record.report.text("iomem")


def test_control_a_kernel_adds_a_device_over_a_deposit_that_is_reserved(image_of):
    """The guest onlines it, as the udev rules of distributions do."""
    handoff = handoff_of([DEVICE], ROWS, encoding="split")
    record = boot_with_device(handoff, image_of("6.1").read())
    assert added(record)
    assert record.view.touched_deposits.nr_pages > 0.9 * PAGES


@pytest.mark.slow
def test_control_without_the_device_the_same_deposit_is_left_alone(kernel):
    handoff = handoff_of([DEVICE], ROWS, encoding="split")
    record = boot_patiently(handoff, kernel.read())
    assert not added(record)
    assert not record.view.touched_deposits
