"""A kernel from the distribution's source package, built and booted."""

import pytest
from labbench import MIB, PATIENT, ROWS, deposits

from e820pool.deposits import DepositLedger
from e820pool.errors import LabError
from e820pool.extents import PAGE_SIZE
from e820pool.handoff.build import build_handoff
from e820pool.lab.boot import BootOptions, boot
from e820pool.lab.build_config import BuildConfig, base_options
from e820pool.lab.cache import cache_below
from e820pool.lab.images import find_image
from e820pool.lab.kernel_build import BuildRequest, build_kernel, missing_packages
from e820pool.loading.kernel_file import KernelFile, profile_of
from e820pool.memory_map import MemoryMap


def test_the_smallest_kernel_is_built_from_nothing_and_boots(tmp_path):
    if missing_packages():
        pytest.skip(f"install {' '.join(missing_packages())}")
    off = ("SMP", "NUMA", "MEMORY_HOTPLUG", "ACPI", "PCI", "RANDOMIZE_MEMORY")
    base = {name: value for name, value in base_options({}).items() if name not in off}
    request = BuildRequest(
        name="smallest",
        source="linux-source-6.1",
        config=BuildConfig(base=base),
        jobs=2,
    )
    with cache_below(tmp_path):
        try:
            built = build_kernel(request)
        except LabError as error:
            if "archive" in str(error) or "apt" in str(error):
                pytest.skip(str(error))
            raise
        assert built.is_new
        assert not build_kernel(request).is_new
        image = find_image("smallest")
        data, config = image.read(), image.read_config()
    ledger = DepositLedger.of_ranges(deposits(20))
    handoff = build_handoff(MemoryMap.of(ROWS), ledger)
    record = boot(handoff, data, BootOptions(accelerator="tcg", deadlines=PATIENT))
    assert record.view.kernel.startswith("6.1.")
    assert record.view.touched_deposits.nr_pages == 0
    # Nearly all of the rest was used: its user space is whole.
    assert record.view.touched.nr_pages > 200 * MIB // PAGE_SIZE
    profile = profile_of(KernelFile(name="smallest", image=data, config=config))
    # No NUMA: three entries more than a zero page holds.
    assert profile.capacity == 131
