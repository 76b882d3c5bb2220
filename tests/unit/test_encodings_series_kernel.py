"""The series' own claims: what a kernel that has it makes of what it is given."""

import pytest
from rivals.device_tree import empty_tree
from rivals.region import PmpoolRegion, bitmap_pages
from rivals.series_restore import series_boot

from e820pool.deposits import DepositLedger
from e820pool.extents import ExtentSet
from e820pool.handoff.encodings.whole_ram import pool_region
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap
from e820pool.pool.designs import design_cell
from e820pool.pool.option import PmpoolOption

pytest.importorskip("libfdt", reason="pip install pylibfdt")

from e820pool.abi.fdt import PmpoolNode, pack_pmpool_tree

MIB = 1 << 20
OPTION = PmpoolOption(base_addr=128 * MIB, size=64 * MIB)
DEPOSITS = ExtentSet([(0x8010, 0x8020), (0x9000, 0x9001)])


def memory_of(region):
    """Return what lies at an address: the region's bitmap at its base, else zeros."""
    saved = region.encode_bitmap()

    def read(addr, size):
        at = addr - region.option.base_addr
        return saved[at : at + size] if at == 0 else bytes(size)

    return read


def old_kernel(option=OPTION, deposits=DEPOSITS):
    region = PmpoolRegion(option)
    for start, end in deposits:
        first = start - option.base_pfn
        while (got := region.alloc(1)) is not None and got < start:
            pass
        if end - start > 1:
            assert region.alloc(end - start - 1) == start + 1
        assert first >= region.nr_bitmap_pages
    return region


def ledger_of(pages):
    return DepositLedger.of_ranges([(a << 12, b << 12) for a, b in pages])


def tree(option=OPTION):
    node = PmpoolNode(base=option.base_addr, size=option.size, bitmap=option.base_addr)
    return pack_pmpool_tree(node)


def test_a_kernel_with_the_series_and_both_halves_restores_the_bitmap():
    old = old_kernel()
    pool = series_boot(OPTION, tree(), memory_of(old))
    assert pool.origin == "restored"
    assert pool.region.bitmap == old.bitmap
    assert not pool.forgotten(DEPOSITS)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "no device tree node"),
        (empty_tree(), "no device tree node"),
        (b"junk", "no device tree"),
        (tree(PmpoolOption(base_addr=0, size=64 * MIB)), "base 0x0 differs"),
        (
            tree(PmpoolOption(base_addr=128 * MIB, size=2 * MIB)),
            "size 0x200000 differs",
        ),
    ],
)
def test_without_a_matching_node_every_deposit_is_forgotten(given, why):
    """It goes on with a cleared bitmap: deposited pages are given to who asks."""
    pool = series_boot(OPTION, given, memory_of(old_kernel()))
    assert pool.origin == "fresh"
    assert why in pool.reason
    assert pool.forgotten(DEPOSITS) == DEPOSITS


def test_without_the_option_the_region_is_ordinary_memory():
    pool = series_boot(None, tree(), memory_of(old_kernel()))
    assert pool.origin == "none"
    assert pool.forgotten(DEPOSITS) == DEPOSITS


def test_a_region_over_what_is_reserved_already_is_no_pool():
    pool = series_boot(
        OPTION, tree(), memory_of(old_kernel()), ExtentSet([(0xA000, 0xA001)])
    )
    assert pool.origin == "none"
    assert "reserved already" in pool.reason


# Seen in boots of Linux 6.1.176 with patches 1 to 6, nokaslr, 77 pages deposited in the
# region, their bits in the bitmap at its base, memory filled: what pmpool= says, what
# the node says, what the kernel said of its pool, and the deposits that it touched.
SEEN_OPTION = PmpoolOption(base_addr=0x760_0000, size=0x7C0_0000)
SEEN = {
    "both halves": (SEEN_OPTION, tree(SEEN_OPTION), "CMA bitmap restored to", 77),
    "no option": (None, tree(SEEN_OPTION), "", 77),
    "no tree": (SEEN_OPTION, None, "CMA bitmap moved to", 77),
    "an empty tree": (SEEN_OPTION, empty_tree(), "CMA bitmap moved to", 77),
    "another base": (
        SEEN_OPTION,
        tree(PmpoolOption(base_addr=0x780_0000, size=0x7C0_0000)),
        "CMA bitmap moved to",
        77,
    ),
    "another size": (
        SEEN_OPTION,
        tree(PmpoolOption(base_addr=0x760_0000, size=0x7A0_0000)),
        "CMA bitmap moved to",
        77,
    ),
}
ORIGINS = {
    "CMA bitmap restored to": "restored",
    "CMA bitmap moved to": "fresh",
    "": "none",
}


@pytest.mark.parametrize("case", SEEN)
def test_what_booted_kernels_with_the_series_said_and_touched(case):
    option, given, said, touched = SEEN[case]
    held = old_kernel(SEEN_OPTION, ())
    pool = series_boot(option, given, memory_of(held))
    assert pool.origin == ORIGINS[said]
    first = SEEN_OPTION.base_pfn + 0x200
    deposits = ExtentSet([(first, first + 77)])
    assert pool.usable(deposits).nr_pages == touched


def test_the_kernel_uses_what_the_restored_bitmap_says_is_taken():
    """cma_activate_area() has freed the region before the bitmap is looked at."""
    pool = series_boot(OPTION, tree(), memory_of(old_kernel()))
    assert not pool.forgotten(DEPOSITS)
    assert pool.usable(DEPOSITS) == DEPOSITS


@pytest.mark.parametrize("release", ["6.1"])
def test_the_verdict_on_a_kernel_with_the_series_is_that_without(release):
    ledger = ledger_of(DEPOSITS)
    rows = ((0, 0x9_F000, 1), (MIB, 511 * MIB, 1))
    cell = design_cell(MemoryMap.of(rows), ledger, "series-v2", profile_for(release))
    assert cell.verdict.verdict == "unsafe"


def test_the_bitmap_lies_where_nothing_is_deposited():
    """A deposit in the region's first page would be under the bitmap."""
    for pfn in (0x8000, 0x8001):
        start, end = pool_region(ledger_of([(pfn, pfn + 1)]))
        option = PmpoolOption(base_addr=start, size=end - start)
        assert option.base_pfn + bitmap_pages(option.nr_pages) <= pfn
    far = 256 << 15
    start, end = pool_region(ledger_of([(0x8001, 0x8002), (far, far + 1)]))
    assert (start >> 12) + bitmap_pages((end - start) >> 12) <= 0x8001
    assert start % (2 * MIB) == 0


def test_reserved_in_the_table_does_not_hinder_the_series():
    """memblock.reserved is not the e820 table: both designs can go together."""
    pool = series_boot(OPTION, tree(), memory_of(old_kernel()), ExtentSet())
    assert pool.origin == "restored"
