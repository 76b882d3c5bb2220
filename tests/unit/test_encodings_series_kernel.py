"""The series' own claims: what a kernel that has it makes of what it is given."""

import pytest
from rivals.region import PmpoolRegion
from rivals.series_restore import series_boot

from e820pool.extents import ExtentSet
from e820pool.pool.option import PmpoolOption

pytest.importorskip("libfdt", reason="pip install pylibfdt")

from e820pool.abi.fdt import PmpoolNode, empty_tree, pack_pmpool_tree

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


def old_kernel(option=OPTION):
    region = PmpoolRegion(option)
    for start, end in DEPOSITS:
        first = start - option.base_pfn
        while (got := region.alloc(1)) is not None and got < start:
            pass
        if end - start > 1:
            assert region.alloc(end - start - 1) == start + 1
        assert first >= region.nr_bitmap_pages
    return region


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


def test_reserved_in_the_table_does_not_hinder_the_series():
    """memblock.reserved is not the e820 table: both designs can go together."""
    pool = series_boot(OPTION, tree(), memory_of(old_kernel()), ExtentSet())
    assert pool.origin == "restored"
