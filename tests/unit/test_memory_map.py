"""MemoryMap: typed ranges in the order of their source."""

import pytest

from e820pool.errors import InputError
from e820pool.extents import ExtentSet
from e820pool.memory_map import MemoryMap


def test_rows_keep_the_order_of_the_source():
    rows = [(0x200000, 0x1000, 2), (0, 0x1000, 1)]
    assert MemoryMap.of(rows).rows() == rows


def test_flatten_sorts_and_lets_the_highest_type_win():
    made = MemoryMap.of([(0x1000, 0x3000, 1), (0x2000, 0x1000, 2)]).flatten()
    assert made.rows() == [
        (0x1000, 0x1000, 1),
        (0x2000, 0x1000, 2),
        (0x3000, 0x1000, 1),
    ]


def test_ram_pages_are_whole_pages_only():
    made = MemoryMap.of([(0x800, 0x2800, 1), (0x4000, 0x800, 1)])
    assert made.ram_pages() == ExtentSet([(1, 3)])


@pytest.mark.parametrize("size", [0x1000, 0x2000])
def test_an_entry_that_reaches_the_end_of_the_address_space_is_refused(size):
    table = MemoryMap.of([(0, 0x1000, 1), ((1 << 64) - 0x1000, size, 2)])
    with pytest.raises(InputError, match=r"entry 1 .* reaches 2\^64"):
        table.flatten()


def test_an_entry_just_below_the_end_is_accepted():
    made = MemoryMap.of([((1 << 64) - 0x1000, 0xFFF, 2)])
    assert made.flatten().rows() == made.rows()


def test_the_digest_names_the_map_and_not_its_order():
    one = MemoryMap.of([(0, 0x1000, 1), (0x1000, 0x1000, 2)])
    two = MemoryMap.of([(0x1000, 0x1000, 2), (0, 0x1000, 1)])
    other = MemoryMap.of([(0, 0x1000, 1), (0x1000, 0x1000, 3)])
    assert one.digest() == two.digest() != other.digest()
    assert one != two
    assert len(one.digest()) == 16
