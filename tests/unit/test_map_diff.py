"""What differs between two maps, held against a table of single bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool.errors import InputError
from e820pool.memory_map import MemoryMap
from e820pool.report.map_diff import diff_maps

TOP = 24
ROWS = st.lists(
    st.tuples(st.integers(0, TOP - 8), st.integers(0, 8), st.integers(0, 3)), max_size=6
)


def bytes_of(rows):
    """Return the type of each byte: the highest that any entry says, or None."""
    told = [0] * TOP
    for addr, size, kind in rows:
        for at in range(addr, addr + size):
            told[at] = max(told[at], kind)
    return [kind or None for kind in told]


@given(ROWS, ROWS)
def test_every_byte_has_the_types_of_both_maps(a, b):
    found = diff_maps(MemoryMap.of(a), MemoryMap.of(b))
    told = [(None, None)] * TOP
    for one in found.segments:
        for at in range(one.addr, one.addr + one.size):
            assert told[at] == (None, None)
            told[at] = one.types
    expected = list(zip(bytes_of(a), bytes_of(b), strict=True))
    assert told == expected
    assert found.is_equal == all(one == two for one, two in expected)
    assert sum(one.size for one in found.changes()) == sum(
        one != two for one, two in expected
    )


@given(ROWS, ROWS)
def test_the_entry_that_is_named_covers_the_bytes_and_has_the_type(a, b):
    for one in diff_maps(MemoryMap.of(a), MemoryMap.of(b)).segments:
        for rows, side in ((a, one.a), (b, one.b)):
            if side is None:
                continue
            addr, size, kind = rows[side.number]
            assert addr <= one.addr
            assert one.addr + one.size <= addr + size
            assert side.type == kind


@given(ROWS, ROWS)
def test_ranges_are_joined_wherever_both_types_go_on(a, b):
    ranges = diff_maps(MemoryMap.of(a), MemoryMap.of(b)).ranges()
    for one, two in pairwise(ranges):
        assert one.addr + one.size < two.addr or one.types != two.types


def test_how_a_range_is_split_is_no_difference():
    found = diff_maps(
        MemoryMap.of([(0, 8192, 1)]), MemoryMap.of([(0, 4096, 1), (4096, 4096, 1)])
    )
    assert found.is_equal
    assert not found.has_same_entries
    assert len(found.segments) == 2
    assert len(found.ranges()) == 1


def test_the_first_of_equals_decides():
    rows = [(0, 100, 1), (50, 100, 1)]
    numbers = [one.a.number for one in diff_maps(*[MemoryMap.of(rows)] * 2).segments]
    assert numbers == [0, 1]


def test_an_entry_beyond_the_address_space_is_refused_with_the_map_s_name():
    wrong = MemoryMap.of([((1 << 64) - 4096, 8192, 2)], "after.bin")
    with pytest.raises(InputError, match=r"after\.bin: entry 0 at 0xffff"):
        diff_maps(MemoryMap.of([]), wrong)
