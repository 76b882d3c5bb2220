"""Deposits made at run time, carried over real kexecs of stock kernels.

Every chain is run once and looked at by several tests. It takes about 20 s a kernel on
an idle machine with two processors, emulated.
"""

import os

import pytest
from labbench import LOW, MIB, PATIENT

from e820pool.errors import MachineError
from e820pool.lab.chain import run_chain
from e820pool.lab.chain_model import ChainOptions
from e820pool.lab.started_vm import LostVmError
from e820pool.loading.kernel_file import KernelFile
from e820pool.loading.kexec_loaders import find_kexec
from e820pool.memory_map import MemoryMap

# Room for a kernel, the copy of the next one, and the deposits of four.
MACHINE = MemoryMap.of((*LOW, (MIB, 511 * MIB, 1)))

# QEMU's default processor, with page tables of five levels.
FIVE_LEVELS = "qemu64,+la57"

LONG = (
    ("6.1", "5.10", "6.1"),
    ("newest", "5.10", "newest"),
    ("5.10", "6.12", "6.18", "newest"),
)
SHORT = ("6.1", "5.10", "6.1")


@pytest.fixture(scope="module")
def chain_of(image_of):
    """Return a function that runs a chain once for each set of options."""
    made = {}

    def get(releases, **options):
        key = (releases, tuple(sorted(options.items())))
        if key not in made:
            if set(options.get("loaders", ("ours",))) != {"ours"}:
                try:
                    find_kexec()
                except MachineError as error:
                    pytest.skip(str(error))
            kernels = []
            for release in releases:
                image = image_of(release)
                kernels.append(
                    KernelFile(
                        name=image.version,
                        image=image.read(),
                        config=image.read_config(),
                    )
                )
            asked = ChainOptions(accelerator="tcg", deadlines=PATIENT, **options)
            made[key] = run_chain(MACHINE, kernels, asked)
        return made[key]

    return get


@pytest.fixture(params=LONG, ids="-".join)
def record(request, chain_of):
    wanted = os.environ.get("E820POOL_LAB_RELEASES")
    if wanted and not set(request.param) <= set(wanted.split(",")):
        pytest.skip(f"E820POOL_LAB_RELEASES leaves out a kernel of {request.param}")
    return chain_of(request.param)


def test_no_deposited_page_is_touched_at_any_hop(record):
    assert not record.stopped
    assert [hop.touched.nr_pages for hop in record.hops] == [0] * len(record.hops)
    assert record.is_intact


def test_every_kernel_but_the_last_made_more_than_twenty_deposits(record):
    for hop in record.hops[:-1]:
        assert hop.nr_made >= 20
        # A huge page is among them.
        assert hop.made.nr_pages >= 20 + 512


def test_every_kernel_filled_its_memory(record):
    for hop in record.hops:
        left = int(hop.report.text("filled").split("MemFree:")[1].split()[0])
        assert left < 16 * 1024


def test_the_pool_is_rebuilt_equal_at_every_hop_from_what_that_kernel_exports(record):
    for hop in record.hops[1:]:
        assert hop.rebuilt.carrier == "setup_data"
        assert hop.rebuilt.ledger == hop.given, hop.rebuilt.findings
    assert [hop.rebuilt.generation for hop in record.hops[1:]] == list(
        range(1, len(record.hops))
    )


def test_the_table_is_what_was_handed_over_and_the_model_reads_it_alike(record):
    assert [hop.differences for hop in record.hops] == [()] * len(record.hops)
    assert all(hop.predicted.verdict == "safe" for hop in record.hops)


def test_a_deposit_costs_two_entries_at_most(record):
    for hop in record.hops:
        assert hop.nr_entries <= 3 + 2 * len(hop.given)


def test_entries_are_constant_while_deposits_are(chain_of):
    record = chain_of(SHORT, once=True)
    assert record.is_intact
    assert record.hops[1].nr_entries == record.hops[2].nr_entries
    assert record.hops[1].given == record.hops[2].given


@pytest.mark.parametrize("carrier", ["none", "pmpool"])
def test_stock_kexec_tools_with_a_tree_of_ours_keep_the_deposits(chain_of, carrier):
    """The setup_data node stays behind; the other two carriers come through."""
    record = chain_of(SHORT, loaders=("kexec-load",), carrier=carrier)
    assert record.is_intact
    found = {hop.rebuilt.carrier for hop in record.hops[1:]}
    assert found == {"inference" if carrier == "none" else "pmpool"}
    assert all(not hop.differences for hop in record.hops)


def test_kexec_file_load_loses_what_was_deposited_since_the_boot(chain_of):
    record = chain_of(("6.1", "5.10"), loaders=("kexec-file",))
    first, second = record.hops
    assert second.predicted.verdict == "unsafe"
    assert "usable-as-ram" in {one.id for one in second.predicted.findings}
    assert second.touched.nr_pages > 0.9 * first.made.nr_pages
    assert second.rebuilt.pool is None
    assert not second.differences


def test_kexec_file_load_keeps_what_the_running_kernel_was_booted_with(chain_of):
    record = chain_of(SHORT, loaders=("ours", "kexec-file"), once=True)
    last = record.hops[-1]
    assert last.predicted.verdict == "safe"
    assert not last.touched
    # The record stays behind, so the pool is inferred and its owners are not known.
    assert last.rebuilt.carrier == "inference"
    assert last.is_rebuilt_equal
    # A node makes two more entries of what 5.10 passes on.
    assert last.nr_entries == record.hops[1].nr_entries + 2
    assert not last.differences


def test_beyond_128_entries_kexec_tools_spill_and_kexec_file_load_cuts(chain_of):
    """Cut off are RAM and RESERVED alike: that costs the pool, and touches no page."""
    tools = chain_of(
        ("6.1", "5.10"), loaders=("kexec-load",), nr_pages=80, carrier="none"
    )
    assert tools.is_intact
    assert tools.hops[1].nr_entries > 140
    assert not tools.hops[1].differences
    record = chain_of(
        SHORT, loaders=("ours", "kexec-file"), once=True, nr_pages=80, carrier="none"
    )
    middle, last = record.hops[1:]
    assert middle.nr_entries > 140
    assert "lost-on-next-kexec" in {one.id for one in middle.predicted.findings}
    assert last.nr_entries == 128
    assert not last.touched
    assert last.rebuilt.pool is None
    assert "inference-incomplete" in {one.id for one in last.rebuilt.findings}
    assert not last.differences


@pytest.mark.slow
def test_memmap_words_keep_allocators_off_and_segments_on_deposits(chain_of):
    """Where a segment goes is the running kernel's choice: all of it is RAM to that."""
    few = chain_of(SHORT[:2], loaders=("kexec-file-memmap",)).hops[-1]
    assert few.given.extents.nr_pages == 532
    many = chain_of(
        ("6.1", "6.1"), loaders=("kexec-file-memmap",), nr_pages=0, nr_huge=100
    ).hops[-1]
    # Half of RAM is deposited: kernel and initrd have no other place.
    assert many.touched.nr_pages > 1000
    for hop in (few, many):
        assert hop.predicted.verdict == "unsafe"
        assert "part-in-deposit" in {one.id for one in hop.predicted.findings}
        # Nobody can tell them from what the command line reserves for other reasons.
        assert hop.rebuilt.pool is None
        assert not hop.differences


@pytest.mark.slow
def test_what_is_deposited_between_load_and_jump_is_touched_to_the_last_page(chain_of):
    record = chain_of(("6.1", "6.1"), nr_late=40)
    last = record.hops[-1]
    assert (last.late.nr_pages, last.touched_late.nr_pages) == (40, 40)
    # What the kernel was loaded with is kept all the same.
    assert last.given.extents.nr_pages == 532
    assert not last.touched
    assert last.is_rebuilt_equal
    assert not record.is_intact


def test_the_record_in_the_regions_first_page_survives_an_old_kernel(chain_of):
    record = chain_of(SHORT, carrier="pmpool")
    assert record.is_intact
    assert {hop.rebuilt.carrier for hop in record.hops[1:]} == {"pmpool"}
    owners = {one.owner for one in record.hops[-1].rebuilt.ledger}
    assert {1, 2} <= owners
    assert {hop.nr_entries for hop in record.hops[1:]} == {5}


def test_grow_kexec_shrink(chain_of):
    """The thread's sequence: pages taken back are RAM again for the next kernel."""
    record = chain_of(SHORT, nr_withdrawn=400)
    assert record.is_intact
    last = record.hops[-1]
    assert last.withdrawn.nr_pages == 400
    assert last.used_again.nr_pages > 0.95 * 400
    assert last.view.usable_pages().covers(last.withdrawn)
    assert not last.given.extents & last.withdrawn


@pytest.mark.parametrize("loader", ["ours", "kexec-load"])
def test_a_reset_for_want_of_a_level_of_page_tables_is_what_the_model_expects(
    chain_of, loader
):
    with pytest.raises(LostVmError, match=r"five-level-paging.*resets"):
        chain_of(("6.12", "5.10"), cpu=FIVE_LEVELS, pressure=False, loaders=(loader,))


@pytest.mark.parametrize(
    ("releases", "cmdline"),
    [(("6.12", "5.10"), "no5lvl"), (("6.1", "5.10"), ""), (("6.12", "6.1"), "")],
    ids=["no5lvl", "6.1-5.10", "6.12-6.1"],
)
def test_other_pairs_go_through_with_five_levels(chain_of, releases, cmdline):
    record = chain_of(releases, cpu=FIVE_LEVELS, cmdline=cmdline, pressure=False)
    assert not record.stopped
    assert ("la57" in record.hops[0].report.text("cpu_flags")) is not bool(cmdline)
    assert record.hops[-1].predicted.verdict == "safe"
    assert record.is_intact
