"""Edits of a kernel's own table."""

import pytest

from e820pool.kernel.kernel_table import Table

TOP = (1 << 64) - 1


def table(*rows, capacity=8, never_merge=()):
    made = Table(capacity, never_merge)
    made.add_all(rows)
    return made


def test_rows_beyond_the_capacity_are_dropped_in_order():
    made = table((0, 1, 1), (1, 1, 2), capacity=2)
    made.add(2, 1, 3)
    made.add_all([(3, 1, 4), (4, 1, 5)])
    assert made.rows == [(0, 1, 1), (1, 1, 2)]
    assert made.dropped == [(2, 1, 3), (3, 1, 4), (4, 1, 5)]


def test_a_hole_in_the_middle_is_appended_with_the_tail():
    made = table((0, 100, 1))
    made.retype(40, 20, 1, 2)
    assert made.rows == [(0, 40, 1), (40, 20, 2), (60, 40, 1)]


def test_in_a_full_table_a_split_loses_hole_and_tail():
    made = table((0, 100, 1), (200, 10, 2), capacity=2)
    made.retype(40, 20, 1, 2)
    assert made.rows == [(0, 40, 1), (200, 10, 2)]
    assert made.dropped == [(40, 20, 2), (60, 40, 1)]


@pytest.mark.parametrize(
    ("span", "rows"),
    [
        ((0, 100), [(0, 100, 2)]),
        ((0, 40), [(40, 60, 1), (0, 40, 2)]),
        ((60, 100), [(0, 60, 1), (60, 40, 2)]),
        ((100, 50), [(0, 100, 1)]),
    ],
)
def test_a_part_is_given_another_type(span, rows):
    made = table((0, 100, 1))
    made.retype(span[0], span[1], 1, 2)
    assert made.rows == rows


def test_other_types_are_left_alone():
    made = table((0, 100, 3))
    made.retype(0, 100, 1, 2)
    made.remove(0, 100, 1)
    assert made.rows == [(0, 100, 3)]


def test_a_covered_row_becomes_an_empty_one():
    made = table((10, 10, 1), (30, 10, 2))
    made.remove(0, 25, None)
    assert made.rows == [(0, 0, 0), (30, 10, 2)]


@pytest.mark.parametrize(
    ("span", "rows"),
    [
        ((40, 20), [(0, 40, 1), (60, 40, 1)]),
        ((0, 40), [(40, 60, 1)]),
        ((60, 400), [(0, 60, 1)]),
    ],
)
def test_a_part_is_removed(span, rows):
    made = table((0, 100, 1))
    made.remove(span[0], span[1], 1)
    assert made.rows == rows


def test_a_range_is_cut_at_the_top_of_the_address_space():
    made = table((TOP - 100, 50, 1))
    made.remove(TOP - 80, TOP, 1)
    assert made.rows == [(TOP - 100, 20, 1)]


def test_a_row_that_wraps_counts_as_covered_by_what_begins_before_it():
    # Its end, in 64 bits, is below its start.
    made = table((TOP - 10, 20, 1), (0, 50, 1))
    made.remove(TOP - 20, 100, 1)
    assert made.rows[0] == (0, 0, 0)


def test_cover_is_found_over_neighbours_but_not_over_a_gap():
    made = table((0, 10, 1), (10, 10, 1), (21, 10, 1))
    assert made.covers(5, 20, 1)
    assert not made.covers(5, 21, 2)
    assert not made.covers(15, 25, 1)


def test_a_copy_lost_nothing_itself():
    made = table((0, 1, 1), (1, 1, 1), (2, 1, 1), capacity=2)
    other = made.copy()
    other.add(5, 1, 1)
    assert made.dropped == [(2, 1, 1)]
    assert other.dropped == [(5, 1, 1)]
    assert len(made.rows) == 2


def test_sanitising_cuts_what_the_table_cannot_hold():
    made = table((0, 100, 1), (10, 5, 2), (30, 5, 2), capacity=3)
    assert made.sanitize()
    assert made.rows == [(0, 10, 1), (10, 5, 2), (15, 15, 1)]
    assert made.dropped == [(30, 5, 2), (35, 65, 1)]


def test_a_refused_table_stays_as_it_is():
    one = table((0, 0, 1))
    assert not one.sanitize()
    assert one.rows == [(0, 0, 1)]
    wraps = table((5, 5, 1), (TOP, 1, 2), (5, 5, 2))
    assert not wraps.sanitize()
    assert len(wraps.rows) == 3
