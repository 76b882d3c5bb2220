"""The overlap sweep over arrays against the plain one, in tables of every shape."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rivals.sanitize_points import sanitize_by_points

from e820pool.sweep import sweep_arrays, sweep_rows

seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from(["overlap", "nested", "touching", "carved", "points", "types"])
never = st.sampled_from([(), (12,), (12, 0xEFFF_FFFF), (1, 2)])


def table(seed, shape, count):
    """Make a large table of one shape, all three columns."""
    rng = np.random.default_rng(seed)
    span = {"overlap": 1 << 40, "touching": 64, "points": 16}.get(shape, 1 << 20)
    addr = rng.integers(0, span, count, dtype=np.uint64)
    size = rng.integers(0, max(span // 8, 2), count, dtype=np.uint64)
    kinds = np.array([0, 1, 1, 2, 3, 12, 0xEFFF_FFFF], np.uint32)
    kind = rng.choice(kinds, count)
    if shape == "nested":
        size = np.uint64(span) - addr
    elif shape == "carved":
        addr = np.arange(count, dtype=np.uint64) * np.uint64(16)
        size = rng.integers(0, 3, count, dtype=np.uint64) * np.uint64(8)
    elif shape == "types":
        kind = rng.integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32)
    return addr, size, kind


def rows_of(columns):
    return list(zip(*(part.tolist() for part in columns), strict=True))


@given(seeds, shapes, st.integers(97, 2000), never)
def test_arrays_and_rows_agree(seed, shape, count, never_merge):
    columns = table(seed, shape, count)
    found = rows_of(sweep_arrays(*columns, never_merge))
    assert found == sweep_rows(rows_of(columns), never_merge)


@given(seeds, shapes, st.integers(2, 150), never)
def test_both_agree_with_the_kernels_algorithm(seed, shape, count, never_merge):
    columns = table(seed, shape, count)
    rows = rows_of(columns)
    slow = sanitize_by_points(rows, 1 << 20, never_merge)
    assert rows_of(sweep_arrays(*columns, never_merge)) == slow
    assert sweep_rows(rows, never_merge) == slow


@given(seeds, shapes, st.integers(97, 2000))
def test_the_result_is_sorted_disjoint_and_stays(seed, shape, count):
    addr, size, kind = sweep_arrays(*table(seed, shape, count))
    assert bool(np.all(addr[:-1] + size[:-1] <= addr[1:]))
    assert bool(np.all(size > 0))
    assert bool(np.all(kind > 0))
    again = sweep_arrays(addr, size, kind)
    assert rows_of(again) == rows_of((addr, size, kind))


@given(seeds, shapes, st.integers(97, 1000), never)
def test_the_order_of_rows_does_not_matter(seed, shape, count, never_merge):
    columns = table(seed, shape, count)
    mixed = np.random.default_rng(seed).permutation(count)
    one = sweep_arrays(*columns, never_merge)
    other = sweep_arrays(*(part[mixed] for part in columns), never_merge)
    assert rows_of(one) == rows_of(other)
