"""The picture in the terminal: to width, and no deposit vanishes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_rows, sorted_rows

from e820pool.extents import ExtentSet
from e820pool.memory_map import MemoryMap
from e820pool.report.picture import MIN_WIDTH, picture
from e820pool.report.zones import address_label, drawn_zones

GIB = 1 << 30
BEFORE = MemoryMap.of(
    [
        (0, 0xA0000, 1),
        (0xF0000, 0x10000, 2),
        (1 << 20, 2 * GIB, 1),
        (4 * GIB, 12 * GIB, 1),
    ]
)


def after(page):
    """Return the map with one page of the upper RAM deposited."""
    rows = BEFORE.rows()[:-1]
    rows += [(4 * GIB, page - 4 * GIB, 1), (page, 4096, 2)]
    return MemoryMap.of([*rows, (page + 4096, 16 * GIB - page - 4096, 1)])


def test_a_map_is_one_bar_for_each_stretch():
    assert picture(BEFORE, width=40, ascii_only=True) == (
        "0          25.6 KiB a column       1 MiB\n"
        "#########################.............--\n"
        "1 MiB       102 MiB a column       4 GiB\n"
        "####################....................\n"
        "4 GiB       307 MiB a column      16 GiB\n"
        "########################################\n"
        "# usable   - reserved   . no entry\n"
    )


def test_before_and_after_are_two_bars_where_they_differ():
    lines = picture(BEFORE, after(10 * GIB), width=47, ascii_only=True).splitlines()
    assert lines[1] == "both   " + "#" * 25 + "." * 13 + "--"
    assert lines[5] == "before " + "#" * 40
    assert lines[6] == "after  " + "#" * 20 + "D" + "#" * 19
    assert (
        lines[7] == "# usable   - reserved   D deposited   . no entry"[: len(lines[7])]
    )


@given(st.integers(0, 12 * (GIB >> 12) - 2))
def test_a_single_deposited_page_always_shows(pages):
    drawn = picture(BEFORE, after(4 * GIB + (pages + 1) * 4096), width=60)
    assert "D" in drawn.splitlines()[6]


def test_deposits_may_be_given_on_one_map():
    drawn = picture(BEFORE, deposits=ExtentSet([(0x200, 0x201)]), ascii_only=True)
    assert drawn.splitlines()[3].startswith("D###")


@given(sorted_rows(), st.integers(0, 200))
def test_no_line_is_wider_than_asked(rows, width):
    one = MemoryMap.of(rows)
    for drawn in (picture(one, width=width), picture(one, one, width=width)):
        assert max(map(len, drawn.splitlines())) <= max(width, MIN_WIDTH)


@given(any_rows())
def test_ascii_is_the_same_picture_in_other_letters(rows):
    one = MemoryMap.of(rows)
    plain, blocks = picture(one, ascii_only=True), picture(one)
    assert plain.isascii()
    letters = str.maketrans("\u2588\u2591\u2592\u00b7", "#-=.")
    assert blocks.translate(letters) == plain


def test_an_empty_map_is_an_empty_picture():
    assert picture(MemoryMap.of([])) == "\n"


@pytest.mark.parametrize(
    ("addr", "label"),
    [
        (0, "0"),
        (1, "0x1"),
        (4096, "4 KiB"),
        (0x9FC00, "639 KiB"),
        (1 << 20, "1 MiB"),
        (25 * GIB, "25 GiB"),
        (0x3FFC_0000_0000, "65520 GiB"),
        (0x3FFC_0400_0000, "0x3ffc04000000"),
        (1 << 52, "4096 TiB"),
        ((1 << 64) - 1, "0xffffffffffffffff"),
    ],
)
def test_an_address_has_a_short_exact_label(addr, label):
    assert address_label(addr) == label


class TestZones:
    def test_gaps_longer_than_all_that_is_used_are_cut_out(self):
        tib = 1 << 40
        rows = [(4 * GIB, GIB, 1), (tib, GIB, 1), (tib + 2 * GIB, GIB, 1)]
        assert [(z.start, z.end) for z in drawn_zones([MemoryMap.of(rows)])] == [
            (4 * GIB, 5 * GIB),
            (tib, tib + 3 * GIB),
        ]

    def test_no_more_than_twelve_are_told_apart_above_4_gib(self):
        rows = [((n + 1) << 42, GIB, 1) for n in range(40)]
        zones = drawn_zones([MemoryMap.of(rows)])
        assert len(zones) == 12
        assert zones[-1].end == (40 << 42) + GIB

    def test_below_4_gib_a_small_machine_is_not_drawn_small(self):
        zones = drawn_zones([MemoryMap.of([(1 << 20, 63 << 20, 1)])])
        assert [(z.start, z.end) for z in zones] == [(1 << 20, 64 << 20)]

    @given(any_rows())
    def test_every_entry_is_in_a_zone(self, rows):
        zones = drawn_zones([MemoryMap.of(rows)])
        for addr, size, _ in rows:
            for byte in (addr, addr + size - 1) if size else ():
                assert any(zone.start <= byte < zone.end for zone in zones)
        for one, two in pairwise(zones):
            assert one.end <= two.start
