"""The sweep over whole arrays equals the plain loop, and the loop the definition."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool import sweep
from e820pool.sweep import sweep_arrays, sweep_rows

types = st.sampled_from([0, 1, 1, 2, 3, 7, 12, 128, 0xEFFF_FFFF, 0xFFFF_FFFF])
# Small numbers, so that entries meet, touch and hold one another.
rows = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), types), max_size=24)
unmerged = st.sampled_from([(), (12,), (12, 0xEFFF_FFFF), (1, 2)])


def columns(table):
    made = np.array(table, np.uint64).reshape(-1, 3)
    return made[:, 0], made[:, 1], made[:, 2].astype(np.uint32)


def swept(table, never_merge=()):
    found = sweep_arrays(*columns(table), never_merge)
    assert [one.dtype for one in found] == [np.uint64, np.uint64, np.uint32]
    return list(zip(*(one.tolist() for one in found), strict=True))


@pytest.fixture(scope="module", params=["by size", "arrays", "loop"])
def way(request):
    """Take each way on tables that are small enough to read."""
    limits = {"by size": (64, 48), "arrays": (0, 0), "loop": (1 << 20, 1 << 20)}
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in zip(
            ("_SMALL", "_SMALL_PER_TYPE"), limits[request.param], strict=True
        ):
            patch.setattr(sweep, name, limit)
        yield request.param


@pytest.mark.usefixtures("way")
@given(rows, unmerged)
def test_whole_arrays_give_what_the_plain_loop_gives(table, never_merge):
    assert swept(table, never_merge) == sweep_rows(table, never_merge)


@given(rows)
def test_at_every_address_the_highest_type_wins(table):
    want = {}
    for addr, size, kind in table:
        for at in range(addr, addr + size):
            want[at] = max(want.get(at, 0), kind)
    got = {
        at: kind
        for addr, size, kind in sweep_rows(table)
        for at in range(addr, addr + size)
    }
    assert got == {at: kind for at, kind in want.items() if kind}


@given(rows)
def test_the_result_is_sorted_joined_and_stays(table):
    done = sweep_rows(table)
    for (one, size, kind), (two, _, other) in pairwise(done):
        assert one + size < two or (one + size == two and kind != other)
    assert sweep_rows(done) == done


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_entries_does_not_matter(table, random):
    shuffled = random.sample(table, len(table))
    assert sweep_rows(shuffled) == sweep_rows(table)


def random_table(count, nr_types, seed=7):
    random = np.random.default_rng(seed)
    addr = random.integers(0, 40 * count, count).astype(np.uint64)
    size = random.integers(0, 80, count).astype(np.uint64)
    return addr, size, random.integers(0, nr_types + 1, count).astype(np.uint32)


@pytest.mark.parametrize("nr_types", [1, 2, 8, 63, 64, 65, 200])
def test_a_few_thousand_entries_of_few_and_many_types(nr_types):
    table = random_table(5000, nr_types)
    rows = list(zip(*(one.tolist() for one in table), strict=True))
    found = sweep_arrays(*table, (3,))
    assert list(zip(*(one.tolist() for one in found), strict=True)) == sweep_rows(
        rows, (3,)
    )


@pytest.mark.parametrize("count", [0, 10, 5000])
def test_entries_that_name_nothing_leave_nothing(count):
    addr = np.arange(count, dtype=np.uint64)
    for size, kind in ((0, 1), (1, 0)):
        sizes = np.full(count, size, np.uint64)
        found = sweep_arrays(addr, sizes, np.full(count, kind, np.uint32))
        assert [one.size for one in found] == [0, 0, 0]


def test_the_arguments_stay_as_they_are():
    table = random_table(2000, 4)
    before = [one.copy() for one in table]
    sweep_arrays(*table)
    assert all(np.array_equal(a, b) for a, b in zip(table, before, strict=True))
