"""A region with its bitmap inside: CMA's alloc and release, and taking state over."""

import pytest
from rivals.region import PmpoolRegion, bitmap_pages
from rivals.series import (
    differences_from_series,
    series_bitmap_pages,
    series_cleared_bytes,
)

from e820pool.errors import BadImageError, InputError
from e820pool.pool.option import PmpoolOption

MIB_PAGES = 256


def region_of(base_pfn, nr_pages):
    return PmpoolRegion(PmpoolOption.of_pages(base_pfn, nr_pages))


@pytest.mark.parametrize(
    ("nr_pages", "ours", "series"),
    [
        (1, 1, 1),
        (0x8000, 1, 1),
        # Above 128 MiB the bitmap has a second page, which the series gives away.
        (0x8001, 2, 1),
        (0x10000, 2, 1),
        (0x10001, 3, 1),
        (0x40000, 8, 1),
        (0x40001, 9, 2),
    ],
)
def test_the_bitmaps_own_pages_are_used_where_the_series_miscounts(
    nr_pages, ours, series
):
    region = region_of(0x100000, nr_pages)
    assert bitmap_pages(nr_pages) == ours
    assert series_bitmap_pages(nr_pages) == series
    assert region.nr_used == ours
    assert list(region.bitmap.used_runs()) == [(0, ours)]
    assert ours * 4096 >= len(region.encode_bitmap()) > (ours - 1) * 4096


def test_the_series_clears_an_eighth_of_the_bitmap():
    region = region_of(0x100000, 16 * MIB_PAGES)
    assert series_cleared_bytes(16 * MIB_PAGES) * 8 == len(region.encode_bitmap())


def test_the_difference_from_the_series_is_stated_with_its_pages():
    small = differences_from_series(0x1000, 0x8000)
    large = differences_from_series(0x1000, 0x40001)
    assert [f.id for f in small] == ["series-bitmap-stale"]
    assert [f.id for f in large] == ["series-bitmap-stale", "series-bitmap-given-away"]
    assert large[1].extents == ((0x1002, 0x1009),)
    assert "2 of the bitmap's 9 pages" in large[1].message
    assert "0x1001 of the bitmap's 0x8008 bytes" in large[0].message


def test_a_region_larger_than_any_bitmap_is_refused():
    with pytest.raises(InputError, match="limits are 1 and 0x100000000"):
        region_of(0, (1 << 32) + 1)


def test_allocation_takes_the_lowest_fit_behind_the_bitmap():
    region = region_of(0x1000, 16)
    assert region.alloc(1) == 0x1001
    assert region.alloc(4) == 0x1002
    assert region.release(0x1002, 2)
    assert region.alloc(3) == 0x1006
    assert region.alloc(2) == 0x1002
    assert region.nr_used == 1 + 1 + 4 + 3


def test_alignment_is_that_of_the_address_not_of_the_bit():
    region = region_of(0x1003, 64)
    assert region.alloc(4, 2) == 0x1004
    assert region.alloc(8, 3) == 0x1008
    assert region.alloc(1, 0) == 0x1010
    assert region.alloc(1, 5) == 0x1020
    # Not even the region's first page is a multiple of 2^16.
    assert region.alloc(1, 16) is None


@pytest.mark.parametrize("nr_pages", [0, -1, 17])
def test_no_pages_and_more_than_there_are_both_fail_quietly(nr_pages):
    region = region_of(0x1000, 16)
    assert region.alloc(nr_pages) is None
    assert region.nr_used == 1


def test_the_whole_rest_can_be_allocated_at_once_but_not_one_page_more():
    region = region_of(0x1000, 16)
    assert region.alloc(16) is None
    assert region.alloc(15) == 0x1001
    assert region.alloc(1) is None


@pytest.mark.parametrize("order", [-1, 64])
def test_an_order_beyond_an_unsigned_long_is_refused(order):
    region = region_of(0x1000, 16)
    with pytest.raises(InputError, match="the limits are 0 and 63"):
        region.alloc(1, order)


def test_the_highest_order_is_only_met_by_page_zero():
    assert region_of(0x1000, 16).alloc(1, 63) is None


def test_the_proposals_depositor_asks_for_an_order_without_alignment():
    region = region_of(0x1000, 16)
    assert region.alloc(4, owner=7) == 0x1001


@pytest.mark.parametrize(
    ("base_pfn", "nr_pages", "released"),
    [
        (0xFFF, 1, False),
        (0x1010, 1, False),
        (0x1010, 0, False),
        (0x100F, 2, False),
        (0x1001, 16, False),
        (0x1005, -1, False),
        (0x100F, 1, True),
        (0x1001, 15, True),
        (0x1001, 0, True),
    ],
)
def test_release_checks_both_ends_of_its_range(base_pfn, nr_pages, released):
    region = region_of(0x1000, 16)
    region.alloc(15)
    before = region.encode_bitmap()
    assert region.is_held(base_pfn, nr_pages) == released
    assert region.release(base_pfn, nr_pages) == released
    changed = region.encode_bitmap() != before
    assert changed == (released and nr_pages > 0)


@pytest.mark.parametrize(
    ("base_pfn", "nr_pages", "message"),
    [
        (0x1000, 1, "holds the region's bitmap"),
        (0x1000, 16, "holds the region's bitmap"),
        (0x1003, 1, r"PFNs \[0x1003, 0x1004\) are not all used"),
        (0x1001, 3, r"PFNs \[0x1001, 0x1004\) are not all used"),
    ],
)
def test_pages_that_nobody_allocated_are_not_released(base_pfn, nr_pages, message):
    region = region_of(0x1000, 16)
    region.alloc(2)
    before = region.encode_bitmap()
    assert not region.is_held(base_pfn, nr_pages)
    with pytest.raises(InputError, match=message):
        region.release(base_pfn, nr_pages)
    assert region.encode_bitmap() == before


def test_a_restored_region_goes_on_where_the_other_stopped():
    first = region_of(0x1000, 512)
    first.alloc(100)
    first.alloc(7)
    first.release(0x1001, 50)
    second = region_of(0x1000, 512)
    # The whole page that holds the bitmap, as a reader of memory has it.
    second.restore(0x1000 << 12, 512 << 12, first.encode_bitmap().ljust(4096, b"\xff"))
    assert second.bitmap == first.bitmap
    assert second.alloc(51) == first.alloc(51) == 0x1000 + 1 + 100 + 7
    assert second.encode_bitmap() == first.encode_bitmap()


def test_a_region_with_another_base_or_size_is_not_restored():
    region = region_of(0x1000, 512)
    region.alloc(3)
    state = region.encode_bitmap()
    with pytest.raises(InputError, match="base 0x1001000 differs from 0x1000000"):
        region.restore(0x1001000, 512 << 12, state)
    with pytest.raises(InputError, match="size 0x1ff000 differs from 0x200000"):
        region.restore(0x1000000, 511 << 12, state)
    assert region.encode_bitmap() == state


def test_a_bitmap_that_is_cut_is_not_taken_over():
    region = region_of(0x1000, 512)
    with pytest.raises(BadImageError, match="0x3f bytes is cut"):
        region.restore(0x1000 << 12, 512 << 12, b"\xff" * 63)
    assert region.nr_used == 1


def test_a_bitmap_that_gives_itself_away_is_not_taken_over():
    """The series leaves such bitmaps above 128 MiB; the page may be deposited."""
    region = region_of(0x100000, 0x8001)
    bits = region.bitmap
    bits.clear_run(1, 1)
    with pytest.raises(BadImageError, match=r"its own 2 page\(s\) is free"):
        region.restore(0x100000 << 12, 0x8001 << 12, bits.encode())
    assert region.nr_used == 2
