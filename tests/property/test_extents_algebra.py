"""Set algebra, over arrays and over lists, equals that of Python's sets of pages."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool import extents
from e820pool.extents import ByteRangeSet, ExtentSet, coalesce_bounds

# Small numbers, so that ranges meet, touch and hold one another.
pairs = st.tuples(st.integers(0, 40), st.integers(0, 12))
ranges = st.lists(pairs.map(lambda p: (p[0], p[0] + p[1])), max_size=10)
OPERATORS = (operator.or_, operator.and_, operator.sub)


@pytest.fixture(
    autouse=True, scope="module", params=[0, 3, extents.SHORT], ids="short-{}".format
)
def short(request):
    """Have sets of so many ranges as lists, and larger ones as arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extents, "SHORT", request.param)
        yield


def pages(one):
    return {page for start, end in one for page in range(start, end)}


def check_canonical(one):
    bounds = [edge for pair in one for edge in pair]
    assert bounds == sorted(set(bounds))


@given(ranges, ranges, st.sampled_from(OPERATORS))
def test_two_sets_combine_as_sets_of_pages_do(one, two, combine):
    found = combine(ExtentSet(one), ExtentSet(two))
    assert pages(found) == combine(pages(one), pages(two))
    check_canonical(found)


@given(ranges)
def test_a_set_and_its_complement_share_nothing_and_miss_nothing(one):
    made = ExtentSet(one)
    assert not made & ~made
    assert list(made | ~made) == [(0, ExtentSet.LIMIT)]
    assert ~~made == made


@given(ranges)
def test_a_set_has_one_form_whatever_the_order_of_its_ranges(one):
    made = ExtentSet(one)
    check_canonical(made)
    assert made == ExtentSet(reversed(one)) == ExtentSet(made)


@given(ranges, ranges)
def test_covering_is_having_every_page(one, two):
    assert ExtentSet(one).covers(ExtentSet(two)) == (pages(one) >= pages(two))


@given(ranges, pairs)
def test_questions_about_one_range_are_about_its_pages(one, asked):
    start, end = asked[0], sum(asked)
    made, want = ExtentSet(one), set(range(start, end))
    assert made.contains(start, end) == (want <= pages(one))
    assert made.overlaps(start, end) == bool(want & pages(one))


@given(ranges)
def test_pages_and_bytes_are_the_same_memory(one):
    made = ExtentSet(one)
    assert made.to_bytes().pages_inside() == made.to_bytes().pages_touched() == made


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30_000))))
def test_pages_inside_are_whole_and_pages_touched_are_hit(found):
    made = ByteRangeSet((page * 4096, page * 4096 + size) for page, size in found)
    inside, touched = pages(made.pages_inside()), pages(made.pages_touched())
    for page in range(20):
        start, end = page * 4096, page * 4096 + 4096
        assert (page in inside) == made.contains(start, end)
        assert (page in touched) == made.overlaps(start, end)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_set_keeps_no_array_of_its_maker(size):
    starts = np.arange(size, dtype=np.uint64) * np.uint64(10)
    ends = starts + np.uint64(1)
    found = coalesce_bounds(starts, ends)
    assert not any(np.shares_memory(a, b) for a in (starts, ends) for b in found)
