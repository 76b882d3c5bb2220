"""The fast sanitiser against the kernel's algorithm, point by point."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rivals.sanitize_points import sanitize_by_points

from e820pool.abi.e820 import table_of
from e820pool.kernel.kernel_table import sanitize_rows, sanitize_table

TOP = (1 << 64) - 1
NEVER_MERGE = (frozenset(), frozenset({12}), frozenset({12, 0xEFFF_FFFF}))
# Small numbers meet often; the large ones reach 2^64.
addresses = st.one_of(
    st.integers(0, 24), st.sampled_from([1 << 32, TOP - 16, TOP - 1, TOP])
)
sizes = st.one_of(st.integers(0, 24), st.sampled_from([1 << 32, TOP - 16, TOP]))
types = st.sampled_from([0, 1, 1, 2, 3, 7, 12, 13, 128, 0xEFFF_FFFF, 0xFFFF_FFFF])
rows = st.lists(st.tuples(addresses, sizes, types), max_size=24)
below = st.integers(0, 40)
sound_rows = st.lists(st.tuples(below, below, types), min_size=2, max_size=24)


@given(rows, st.sampled_from(NEVER_MERGE), st.integers(0, 16))
def test_it_equals_the_kernels_algorithm(table, never_merge, spare):
    capacity = len(table) + spare
    slow = sanitize_by_points(table, capacity, never_merge)
    fast = sanitize_rows(table, capacity=capacity, never_merge=never_merge)
    assert fast.refused == (slow is None)
    assert fast.rows == (table if slow is None else slow)


@given(rows, st.sampled_from(NEVER_MERGE))
def test_whole_arrays_give_the_same(table, never_merge):
    fast = sanitize_rows(table, capacity=1 << 20, never_merge=never_merge)
    done, refused = sanitize_table(table_of(table), never_merge=never_merge)
    assert refused == fast.refused
    assert done.tolist() == fast.rows


@given(sound_rows, st.sampled_from(NEVER_MERGE))
def test_what_is_cut_is_the_top(table, never_merge):
    whole = sanitize_rows(table, capacity=1 << 20, never_merge=never_merge)
    cut = sanitize_rows(table, capacity=len(table), never_merge=never_merge)
    assert [*cut.rows, *cut.cut] == whole.rows


@given(sound_rows, st.sampled_from(NEVER_MERGE))
def test_the_result_is_sorted_disjoint_and_stays(table, never_merge):
    done = sanitize_rows(table, capacity=1 << 20, never_merge=never_merge).rows
    ends = [addr + size for addr, size, _ in done]
    assert all(a <= b[0] for a, b in zip(ends, done[1:], strict=False))
    assert all(size and kind for _, size, kind in done)
    again = sanitize_rows(done, capacity=1 << 20, never_merge=never_merge)
    assert again.rows == done


@given(sound_rows)
def test_every_byte_has_the_highest_type_over_it(table):
    done = sanitize_rows(table, capacity=1 << 20).rows
    want = np.zeros(100, np.int64)
    for addr, size, kind in table:
        want[addr : addr + size] = np.maximum(want[addr : addr + size], kind)
    got = np.zeros(100, np.int64)
    for addr, size, kind in done:
        got[addr : addr + size] = kind
    assert got.tolist() == want.tolist()
