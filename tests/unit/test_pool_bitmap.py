"""The page bitmap: bits in memory, runs, and the aligned first-fit search."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rivals.bitmap import MAX_BITS, PageBitmap, bits_to_longs

from e820pool.errors import BadImageError, InputError


def longs(*values):
    return struct.pack(f"<{len(values)}Q", *values)


@pytest.mark.parametrize(
    ("nr_bits", "expected"), [(1, 1), (63, 1), (64, 1), (65, 2), (128, 2), (129, 3)]
)
def test_bits_fill_whole_unsigned_longs(nr_bits, expected):
    assert bits_to_longs(nr_bits) == expected
    assert PageBitmap(nr_bits).nr_bytes == expected * 8


def test_bit_i_lies_where_the_kernel_has_it():
    bitmap = PageBitmap.parse(130, longs(1 << 63, 0b101, 0b10))
    assert list(bitmap.used_runs()) == [(63, 65), (66, 67), (129, 130)]
    assert bitmap.encode() == longs(1 << 63, 0b101, 0b10)


def test_bits_behind_the_last_page_are_ignored_and_written_as_zero():
    bitmap = PageBitmap.parse(5, longs((1 << 64) - 1))
    assert list(bitmap.used_runs()) == [(0, 5)]
    assert bitmap.encode() == longs(0b11111)


def test_bytes_behind_the_bitmap_are_ignored():
    assert PageBitmap.parse(64, longs(7, 99)) == PageBitmap.parse(64, longs(7))


def test_a_cut_bitmap_is_refused():
    with pytest.raises(BadImageError, match="0xf bytes is cut: 0x41 pages need 0x10"):
        PageBitmap.parse(65, bytes(15))


@pytest.mark.parametrize("nr_bits", [0, -1, MAX_BITS + 1])
def test_a_bitmap_of_no_or_absurdly_many_pages_is_refused(nr_bits):
    with pytest.raises(InputError, match="limits are 1 and 0x100000000"):
        PageBitmap(nr_bits)


def test_the_largest_bitmap_costs_nothing_until_it_is_written():
    bitmap = PageBitmap(MAX_BITS)
    bitmap.set_run(MAX_BITS - 1, 1)
    assert bitmap.nr_bytes == 512 << 20
    assert bitmap.find_free(MAX_BITS - 1) == 0


@pytest.mark.parametrize("run", [(-1, 1), (0, 101), (100, 1), (5, -1)])
def test_runs_outside_the_bitmap_are_refused(run):
    bitmap = PageBitmap(100)
    for method in (bitmap.set_run, bitmap.clear_run, bitmap.is_used):
        with pytest.raises(InputError, match="not within"):
            method(*run)
    assert bitmap == PageBitmap(100)


def test_an_empty_run_at_the_very_end_changes_nothing():
    bitmap = PageBitmap(100)
    bitmap.set_run(0, 100)
    bitmap.set_run(100, 0)
    bitmap.clear_run(50, 0)
    assert list(bitmap.used_runs()) == [(0, 100)]


def test_a_copy_is_independent():
    bitmap = PageBitmap(8)
    other = bitmap.copy()
    other.set_run(0, 4)
    assert bitmap.nr_used == 0
    assert other.nr_used == 4
    assert bitmap != other


@pytest.mark.parametrize(
    ("runs", "search", "expected"),
    [
        ([], (8, 0, 0, 0), 0),
        ([], (16, 0, 0, 0), 0),
        ([], (17, 0, 0, 0), None),
        ([(0, 1)], (1, 0, 0, 0), 1),
        ([(0, 1)], (1, 3, 0, 0), 4),
        # Bit 0 stands for a page of which the number is 3 above a multiple of 4.
        ([], (4, 3, 3, 0), 1),
        ([(2, 3)], (4, 3, 3, 0), 5),
        ([(4, 8)], (4, 3, 0, 1), 8),
        ([(4, 8)], (4, 0, 0, 1), 8),
        ([(4, 8)], (3, 0, 0, 1), 1),
        ([(0, 13)], (3, 3, 0, 0), None),
        ([(0, 13)], (3, 0, 0, 0), 13),
        ([], (1, 0, 0, 16), None),
    ],
)
def test_the_search_gives_the_lowest_aligned_fit(runs, search, expected):
    count, mask, offset, start = search
    bitmap = PageBitmap(16)
    for first, after in runs:
        bitmap.set_run(first, after - first)
    found = bitmap.find_free(count, align_mask=mask, align_offset=offset, start=start)
    assert found == expected


RUN_LISTS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 200), st.integers(0, 80)), max_size=25
)


@given(RUN_LISTS, st.integers(1, 200))
def test_runs_behave_as_single_bits_do(steps, nr_bits):
    bitmap, bits = PageBitmap(nr_bits), [False] * nr_bits
    for used, first, count in steps:
        first = min(first, nr_bits)  # noqa: PLW2901  clipped to the bitmap
        count = min(count, nr_bits - first)  # noqa: PLW2901  clipped to the bitmap
        (bitmap.set_run if used else bitmap.clear_run)(first, count)
        bits[first : first + count] = [used] * count
        assert bitmap.is_used(first, count) == all(bits[first : first + count])
    whole = sum(1 << at for at, bit in enumerate(bits) if bit)
    raw = whole.to_bytes(bitmap.nr_bytes, "little")
    assert bitmap.encode() == raw
    assert PageBitmap.parse(nr_bits, raw) == bitmap
    assert bitmap.nr_used == sum(bits)
    free = [at for first, after in bitmap.free_runs() for at in range(first, after)]
    assert free == [at for at, bit in enumerate(bits) if not bit]


@given(
    st.integers(1, 120).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(0, (1 << n) - 1))
    ),
    st.integers(1, 40),
    st.integers(0, 6),
    st.integers(0, 63),
    st.integers(0, 130),
)
def test_the_search_equals_trying_every_bit(bits, count, order, offset, start):
    nr_bits, value = bits
    mask = (1 << order) - 1
    bitmap = PageBitmap.parse(nr_bits, value.to_bytes(16, "little"))
    tries = (
        at
        for at in range(start, nr_bits - count + 1)
        if (at + offset) & mask == 0 and not value >> at & ((1 << count) - 1)
    )
    found = bitmap.find_free(count, align_mask=mask, align_offset=offset, start=start)
    assert found == next(tries, None)
