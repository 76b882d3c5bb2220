"""A kernel crashes, and its capture kernel reads the dump: what it gets and touches.

Each crash is run once and looked at by several tests. It takes about 20 s a kernel on
an idle machine with two processors, emulated.
"""

import pytest
from labbench import LOW, MIB, PATIENT

from e820pool.deposits import DepositLedger
from e820pool.errors import MachineError
from e820pool.lab.chain import run_chain
from e820pool.lab.chain_model import ChainOptions
from e820pool.loading.kernel_file import KernelFile
from e820pool.loading.kexec_loaders import find_kexec
from e820pool.memory_map import MemoryMap

# Room for a kernel, 128 MiB that it keeps for its capture kernel, and deposits.
MACHINE = MemoryMap.of((*LOW, (MIB, 447 * MIB, 1)))
# Page 0 and what is RESERVED below 1 MiB; RAM below 1 MiB is one entry more.
RESERVED_BESIDE = 2
RELEASES = ("6.1", pytest.param("newest", marks=pytest.mark.slow))


def inherited(count):
    """Return single pages that are RESERVED in the table of the kernel to crash."""
    starts = range(256 * MIB, 256 * MIB + count * 0x8000, 0x8000)
    return DepositLedger.of_ranges((start, start + 4096) for start in starts)


@pytest.fixture(scope="module")
def crash_of(image_of):
    """Return a function that crashes a kernel once for each set of options."""
    made = {}

    def get(which, loader, nr_inherited=0, **options):
        key = (which, loader, nr_inherited, tuple(sorted(options.items())))
        if key not in made:
            try:
                find_kexec()
            except MachineError as error:
                pytest.skip(str(error))
            image = image_of(which)
            kernel = KernelFile(
                name=image.version, image=image.read(), config=image.read_config()
            )
            asked = ChainOptions(
                loaders=(loader,),
                inherited=inherited(nr_inherited),
                pressure=False,
                accelerator="tcg",
                deadlines=PATIENT,
                **options,
            )
            made[key] = run_chain(MACHINE, [kernel, kernel], asked)
        return made[key]

    return get


@pytest.mark.parametrize("which", RELEASES)
def test_with_files_of_ours_no_deposit_is_in_the_dump(crash_of, which):
    """130 single pages and a huge one at run time, 20 inherited: more than a zero page
    holds, of which our files make a few entries."""
    record = crash_of(which, "panic-ours", nr_inherited=20, nr_pages=130, nr_huge=1)
    hop = record.hops[1]
    assert not record.stopped
    assert hop.given.extents.nr_pages == 20 + 130 + 512
    assert hop.nr_entries < 16
    assert hop.differences == ()
    assert hop.dump.nr_bytes > 256 * MIB
    assert not hop.dump.held.pages_touched() & hop.given.extents
    assert not hop.touched
    # The capture kernel's table names little of RAM; the chain says that the machine
    # has no memory devices.
    assert hop.predicted.verdict == "safe", hop.predicted.findings
    assert record.is_intact


@pytest.mark.slow
def test_more_entries_than_kexec_tools_read_are_no_obstacle(crash_of):
    """They take 2048 of /sys/firmware/memmap and of /proc/iomem; a place for what they
    load is behind those ("locate_hole failed")."""
    record = crash_of("6.1", "panic-ours", nr_inherited=1100, nr_pages=10, nr_huge=0)
    assert not record.stopped
    hop = record.hops[1]
    assert hop.given.extents.nr_pages == 1110
    assert hop.dump.nr_bytes > 256 * MIB
    assert not hop.dump.held.pages_touched() & hop.given.extents
    assert not hop.touched
    assert record.is_intact


@pytest.mark.slow
@pytest.mark.parametrize("which", ["6.1", "newest"])
@pytest.mark.parametrize("loader", ["panic-file", "panic-load"])
@pytest.mark.parametrize("count", [1, 130])
def test_else_all_that_was_deposited_since_the_boot_is_read(
    crash_of, which, loader, count
):
    record = crash_of(which, loader, nr_inherited=2, nr_pages=count, nr_huge=0)
    hop = record.hops[1]
    assert hop.differences == ()
    assert hop.touched == record.hops[0].made
    assert hop.touched.nr_pages == count
    assert "dump-reads-deposits" in [one.id for one in hop.predicted.findings]
    assert not record.is_intact


@pytest.mark.slow
@pytest.mark.parametrize("which", ["6.1", "newest"])
@pytest.mark.parametrize(
    ("before", "has_dump"), [(126, True), (127, True), (128, False)]
)
def test_with_128_entries_before_its_ram_a_capture_kernel_dies(
    crash_of, which, before, has_dump
):
    record = crash_of(
        which,
        "panic-file",
        nr_inherited=before - 1 - RESERVED_BESIDE,
        nr_pages=0,
        nr_huge=0,
    )
    crashed, hop = record.hops
    foreseen = "capture-table-full" in [one.id for one in hop.predicted.findings]
    assert foreseen != has_dump
    assert (hop.view.fatal is None) == (hop.model.fatal is None) == has_dump
    assert (hop.dump.nr_bytes > 256 * MIB) == has_dump
    assert hop.differences == ()
    assert not hop.touched
    # check says so beforehand, of the handoff that the crashed kernel had.
    said = [one.id for one in crashed.predicted.findings]
    assert ("capture-table-full" in said) != has_dump
