"""The overlap sweep over arrays: sizes at which it changes its way, and limits."""

import numpy as np
import pytest

from e820pool.sweep import sweep_arrays, sweep_rows

TOP = (1 << 64) - 1


def arrays(rows):
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return (
        np.array(columns[0], np.uint64),
        np.array(columns[1], np.uint64),
        np.array(columns[2], np.uint32),
    )


def swept(rows, never_merge=()):
    found = sweep_arrays(*arrays(rows), never_merge)
    assert [part.dtype for part in found] == [np.uint64, np.uint64, np.uint32]
    return list(zip(*(part.tolist() for part in found), strict=True))


def carved(count, kinds=(1, 2)):
    return [(n * 8, 8, kinds[n % len(kinds)]) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 95, 96, 97, 128, 200, 3200, 10_000])
def test_small_and_large_tables_give_the_same(count):
    nested = [(n, 2 * (count - n) + 1, 1 + n % 5) for n in range(count)]
    for rows in (carved(count), carved(count)[::-1], nested):
        assert swept(rows) == sweep_rows(rows)
        assert swept(rows, (2,)) == sweep_rows(rows, (2,))


@pytest.mark.parametrize("kinds", [1, 63, 64, 65, 500])
def test_few_and_many_types_give_the_same(kinds):
    rows = [(n * 3, 20, 1 + n % kinds) for n in range(1000)]
    assert swept(rows) == sweep_rows(rows)


def test_a_sorted_table_joins_neighbours_only_where_it_may():
    rows = [(n * 8, 8, 12) for n in range(500)]
    assert swept(rows) == [(0, 4000, 12)]
    assert swept(rows, (12,)) == rows
    gaps = [(n * 8, 7, 1) for n in range(500)]
    assert swept(gaps) == gaps


def test_type_0_and_size_0_give_nothing():
    rows = [(n * 8, 8, n % 2) for n in range(500)]
    assert swept(rows) == [r for r in rows if r[2]]
    assert swept([(n, 0, 1) for n in range(500)]) == []
    assert swept([(0, 4000, 1), *((n * 8, 0, 9) for n in range(500))]) == [(0, 4000, 1)]


def test_type_0_splits_what_never_merges():
    rows = [(0, 4000, 12), *((n * 8, 8, 0) for n in range(1, 400))]
    assert swept(rows, (12,)) == sweep_rows(rows, (12,))
    assert len(swept(rows, (12,))) == 401


def test_addresses_up_to_the_top_are_kept():
    rows = [(TOP - 8000 + n * 8, 8, 1 + n % 2) for n in range(1000)]
    rows.append((0, TOP, 1))
    assert swept(rows) == sweep_rows(rows)


def test_what_is_given_is_not_changed():
    addr, size, kind = arrays(carved(1000)[::-1])
    before = [part.copy() for part in (addr, size, kind)]
    for part in (addr, size, kind):
        part.flags.writeable = False
    sweep_arrays(addr, size, kind, (2,))
    for part, old in zip((addr, size, kind), before, strict=True):
        assert np.array_equal(part, old)
