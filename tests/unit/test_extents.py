"""Range sets against plain Python sets of pages."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool.errors import InputError
from e820pool.extents import MAX_PFN, ByteRangeSet, ExtentSet, Span, round_up

PAIRS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 12)).map(
        lambda t: (t[0], t[0] + t[1])
    ),
    max_size=12,
)


def pages(pairs):
    return {page for start, end in pairs for page in range(start, end)}


@given(PAIRS, PAIRS)
def test_the_algebra_agrees_with_sets_of_pages(one, two):
    left, right = ExtentSet(one), ExtentSet(two)
    assert pages(left | right) == pages(one) | pages(two)
    assert pages(left & right) == pages(one) & pages(two)
    assert pages(left - right) == pages(one) - pages(two)
    assert left.nr_pages == len(pages(one))
    assert left.covers(right) == (pages(two) <= pages(one))


@given(PAIRS)
def test_a_set_is_sorted_disjoint_and_never_touches_itself(pairs):
    made = list(ExtentSet(pairs))
    assert all(start < end for start, end in made)
    assert all(one[1] < two[0] for one, two in pairwise(made))


@given(PAIRS, st.integers(0, 60), st.integers(0, 20))
def test_questions_about_one_range_agree_with_sets(pairs, start, size):
    made, asked = ExtentSet(pairs), set(range(start, start + size))
    assert made.overlaps(start, start + size) == bool(asked & pages(pairs))
    assert made.contains(start, start + size) == (asked <= pages(pairs))


@given(PAIRS)
def test_equal_sets_are_equal_whatever_the_order(pairs):
    assert ExtentSet(pairs) == ExtentSet(reversed(pairs))
    assert hash(ExtentSet(pairs)) == hash(ExtentSet(reversed(pairs)))
    assert ExtentSet(pairs) != ByteRangeSet(pairs)


def test_the_complement_reaches_both_ends_of_the_address_space():
    assert list(~ExtentSet([(0, 1)])) == [(1, MAX_PFN)]
    assert list(~ExtentSet()) == [(0, MAX_PFN)]
    assert ~~ExtentSet([(5, 9)]) == ExtentSet([(5, 9)])


def test_bytes_round_inward_to_whole_pages_and_outward_to_touched_ones():
    made = ByteRangeSet([(0x800, 0x2800), (0x3000, 0x3001), (0x9000, 0x9000)])
    assert list(made.pages_inside()) == [(1, 2)]
    assert list(made.pages_touched()) == [(0, 4)]


def test_a_range_inside_one_page_holds_no_page():
    assert not ByteRangeSet([(0x1100, 0x1F00)]).pages_inside()


def test_pages_up_to_the_last_become_bytes():
    top = ExtentSet([(MAX_PFN - 1, MAX_PFN)]).to_bytes()
    assert list(top) == [((1 << 64) - 4096, (1 << 64) - 1)]
    assert list(ExtentSet([(1, 3)]).to_bytes()) == [(0x1000, 0x3000)]


@pytest.mark.parametrize("pair", [(3, 2), (-1, 2), (0, MAX_PFN + 1)])
def test_a_bad_range_is_refused_with_its_values(pair):
    with pytest.raises(InputError, match=f"{pair[1]:#x}"):
        ExtentSet([pair])


def test_a_set_prints_its_first_ranges():
    shown = repr(ExtentSet((i * 2, i * 2 + 1) for i in range(10)))
    assert shown.startswith("ExtentSet([0x0, 0x1), ")
    assert shown.endswith("2 more)")


def test_pairs_are_base_and_number_of_pages():
    assert ExtentSet([(5, 9), (1, 2)]).pairs() == [(1, 1), (5, 4)]


def test_bounds_of_any_order_are_joined():
    made = ExtentSet.from_bounds(
        np.array([8, 1, 3], np.uint64), np.array([9, 4, 8], np.uint64)
    )
    assert list(made) == [(1, 9)]


def test_rounding_up_leaves_a_multiple_as_it_is():
    found = [round_up(number, 8) for number in (0, 1, 7, 8, 9)]
    assert found == [0, 8, 8, 8, 16]
    # Beyond what a float tells apart.
    assert round_up((1 << 63) + 1, 4096) == (1 << 63) + 4096


class TestSpan:
    def test_a_span_is_a_half_open_range_and_a_pair(self):
        span = Span.at(0x1000, 0x2800)
        assert span == (0x1000, 0x3800)
        assert span.size == 0x2800
        assert str(span) == "[mem 0x1000-0x37ff]"
        assert repr(span) == "Span(0x1000, 0x3800)"
        # Of nothing kernels print no range: an end below its start would be none.
        assert str(Span(0x1000, 0x1000)) == "[0x1000, 0x1000)"

    @pytest.mark.parametrize(
        ("span", "touched", "inside"),
        [
            (Span(0x1000, 0x3000), (1, 3), (1, 3)),
            (Span(0x1001, 0x2FFF), (1, 3), (2, 2)),
            (Span(0x0FFF, 0x3001), (0, 4), (1, 3)),
            (Span(0x1800, 0x1900), (1, 2), (2, 2)),
        ],
    )
    def test_pages_are_counted_outwards_or_inwards(self, span, touched, inside):
        assert span.pages_touched() == touched
        assert span.pages_inside() == inside

    @pytest.mark.parametrize(
        ("other", "wanted"),
        [((0, 1), False), ((0, 2), True), ((3, 4), True), ((4, 5), False)],
    )
    def test_spans_that_only_touch_do_not_overlap(self, other, wanted):
        assert Span(1, 4).overlaps(other) is wanted

    def test_an_empty_span_overlaps_nothing(self):
        assert not Span(2, 2).overlaps((1, 4))
        assert not Span(1, 4).overlaps((2, 2))

    def test_what_lies_beyond_2_64_is_cut_at_a_limit(self):
        over = Span.at((1 << 64) - 0x1000, 0x2000)
        assert over.below((1 << 64) - 1) == ((1 << 64) - 0x1000, (1 << 64) - 1)
        assert Span(5, 7).below(4) == (4, 4)

    def test_a_set_yields_spans(self):
        assert [span.size for span in ExtentSet([(1, 4), (8, 10)])] == [3, 2]
