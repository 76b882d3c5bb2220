"""Edits of a table against a walk of the growing table, and against bytes."""

from hypothesis import given
from hypothesis import strategies as st

from e820pool.kernel.kernel_table import Table, is_swept, sanitize_rows

U64 = 1 << 64
small = st.integers(0, 40)
near_top = st.integers(U64 - 24, U64 - 1)
numbers = small | near_top
types = st.sampled_from([0, 1, 1, 2, 3])
rows = st.lists(st.tuples(numbers, numbers, types), max_size=8)
low_rows = st.lists(st.tuples(small, small, types), max_size=8)


class Walked:
    """The kernel's loops, step by step: the table grows while it is walked."""

    def __init__(self, rows, capacity):
        self.rows, self.capacity, self.lost = [list(r) for r in rows], capacity, []

    def add(self, *row):
        (self.rows if len(self.rows) < self.capacity else self.lost).append(list(row))

    def edit(self, start, size, old, new):
        end = start + min(size, U64 - 1 - start)
        at = 0
        while at < len(self.rows):
            row = self.rows[at]
            at += 1
            first, length, kind = row
            last = (first + length) % U64
            if old is not None and kind != old:
                continue
            if first >= start and last <= end:
                row[:] = [0, 0, 0] if new is None else [first, length, new]
            elif first < start and last > end:
                if new is not None:
                    self.add(start, end - start, new)
                self.add(end, last - end, kind)
                row[1] = start - first
            else:
                low, high = max(start, first), min(end, last)
                if low < high:
                    if new is not None:
                        self.add(low, high - low, new)
                    row[1] -= high - low
                    row[0] = first if first < low else high


@given(rows, numbers, numbers, st.integers(0, 4))
def test_retype_equals_the_walk(given_rows, start, size, spare):
    capacity = len(given_rows) + spare
    walked = Walked(given_rows, capacity)
    walked.edit(start, size, 1, 2)
    made = Table(capacity)
    made.add_all(given_rows)
    made.retype(start, size, 1, 2)
    assert made.rows == [tuple(r) for r in walked.rows]
    assert made.dropped == [tuple(r) for r in walked.lost]


@given(rows, numbers, numbers, st.sampled_from([None, 1]), st.integers(0, 4))
def test_remove_equals_the_walk(given_rows, start, size, old, spare):
    capacity = len(given_rows) + spare
    walked = Walked(given_rows, capacity)
    walked.edit(start, size, old, None)
    made = Table(capacity)
    made.add_all(given_rows)
    made.remove(start, size, old)
    assert made.rows == [tuple(r) for r in walked.rows]
    assert made.dropped == [tuple(r) for r in walked.lost]


def painted(rows, kind):
    return {b for addr, size, k in rows if k == kind for b in range(addr, addr + size)}


@given(low_rows, small, small)
def test_with_room_a_removed_type_is_gone_and_nothing_else(given_rows, start, size):
    made = Table(64)
    made.add_all(given_rows)
    made.remove(start, size, 1)
    gone = set(range(start, start + size))
    assert painted(made.rows, 1) == painted(given_rows, 1) - gone
    assert painted(made.rows, 2) == painted(given_rows, 2)


@given(low_rows, small, small)
def test_with_room_a_changed_type_moves(given_rows, start, size):
    made = Table(64)
    made.add_all(given_rows)
    made.retype(start, size, 1, 2)
    moved = painted(given_rows, 1) & set(range(start, start + size))
    assert painted(made.rows, 1) == painted(given_rows, 1) - moved
    assert painted(made.rows, 2) == painted(given_rows, 2) | moved


kinds_kept_apart = st.sampled_from([(), (2,), (1, 3)])
edits = st.lists(
    st.tuples(
        st.sampled_from(["retype", "remove", "remove all", "add", "sweep"]),
        small | near_top,
        small | near_top,
    ),
    min_size=2,
    max_size=8,
)


def edit(table, how, start, size):
    match how:
        case "retype":
            table.retype(start, size, 1, 2)
        case "remove":
            table.remove(start, size, 1)
        case "remove all":
            table.remove(start, size, None)
        case "add":
            table.add(start, size, 3)
        case "sweep":
            return table.sanitize()
    return None


def table_of(rows, capacity, never_merge):
    made = Table(capacity, never_merge)
    made.add_all(rows)
    return made


@given(rows | low_rows, edits, st.integers(0, 4), kinds_kept_apart)
def test_a_sweep_after_a_sweep_is_a_sweep_of_all(given_rows, steps, spare, apart):
    capacity = len(given_rows) + spare
    made = table_of(given_rows, capacity, apart)
    made.sanitize()
    # A table that was never swept has no part that needs no look.
    for step in [*steps, ("sweep", 0, 0)]:
        fresh = table_of(made.rows, capacity, apart)
        before = len(made.dropped)
        assert edit(made, *step) == edit(fresh, *step)
        assert made.rows == fresh.rows
        assert made.dropped[before:] == fresh.dropped


@given(rows | low_rows, kinds_kept_apart)
def test_no_sweep_changes_what_is_swept(given_rows, apart):
    """And all that a sweep has made is."""
    done = sanitize_rows(given_rows, capacity=64, never_merge=apart)
    if is_swept(given_rows):
        assert not done.refused
        assert done.rows == given_rows
    elif not done.refused and len(done.rows) > 1 and not apart:
        assert is_swept(done.rows)
