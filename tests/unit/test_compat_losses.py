"""Findings about what a kernel loses of a table: each with a pass and a fail."""

import pytest
from compat_cases import AT, CARVED, SIZE, G, M, found, levels


def alternating(count, start=2 * G):
    """Return `count` entries of 1 MiB, RAM and RESERVED in turn, apart."""
    return [(start + at * 2 * M, M, 1 + at % 2) for at in range(count)]


def test_two_entries_are_the_least_up_to_6_19():
    one = [(0, G, 1)]
    for release in ("2.6.32", "4.4", "6.19"):
        assert levels("fallback-map", one, release) == ["degraded"]
        assert levels("single-entry", one, release) == ["degraded"]
    assert levels("fallback-map", one, "7.3") == []
    assert levels("single-entry", one, "7.3") == ["note"]
    assert levels("single-entry", [], "7.3") == ["degraded"]
    assert levels("single-entry", CARVED, "6.1") == []


def test_a_table_resolved_in_place_is_cut_at_128():
    """80 RESERVED entries in one of RAM are 161 pieces."""
    holes = [(2 * G + at * 2 * M, M, 2) for at in range(80)]
    rows = [*CARVED, (2 * G - M, G, 1), *holes]
    assert levels("truncated", rows, "4.4") == ["degraded"]
    assert levels("dropped-entry", rows, "4.4") == []
    assert levels("truncated", rows, "4.14") == []
    assert levels("truncated", CARVED, "4.4") == []


def test_a_full_table_drops_what_comes_after():
    rows = [*CARVED, *alternating(123)]
    small = {"config": {"NUMA": False}, "ext": (alternating(8, 4 * G),)}
    assert levels("dropped-entry", rows, "6.1", **small) == ["degraded"]
    assert levels("dropped-entry", rows, "6.1", ext=small["ext"]) == []


def test_a_drop_without_ram_is_a_note():
    rows = [*CARVED, *alternating(123)]
    more = [(4 * G + at * 2 * M, M, 2) for at in range(8)]
    told = levels("dropped-entry", rows, config={"NUMA": False}, ext=(more,))
    assert told == ["note"]


@pytest.mark.parametrize(
    ("release", "level"),
    [("2.6.32", "degraded"), ("3.10", "note"), ("6.12", "note"), ("6.18", "degraded")],
)
def test_type_128_is_memory_to_some_kernels_only(release, level):
    rows = [*CARVED[:-1], (AT + SIZE, 16 * M, 128), (AT + SIZE + 16 * M, 480 * M, 1)]
    assert levels("type-128", rows, release) == [level]
    assert levels("type-128", CARVED, release) == []


def test_ram_that_memblock_has_no_room_for_is_lost():
    """No RAM below 1 MiB, so that the array cannot grow."""
    rows = [(M, AT - M, 1), (AT, SIZE, 2)]
    # Whole and aligned 2 MiB apart, so that nothing else is wrong with them.
    rows += [(G + at * 4 * M, 2 * M, 1) for at in range(126)]
    ext = ([(2 * G + at * 4 * M, 2 * M, 1) for at in range(126)],)
    assert levels("memblock-cannot-grow", rows, ext=ext) == ["degraded"]
    low = [(0, 0x9F000, 1), *rows[:127]]
    assert levels("memblock-cannot-grow", low, ext=ext) == []


def test_ram_that_a_full_table_dropped_is_lost():
    rows, more = [*CARVED, *alternating(123)], (alternating(8, 4 * G),)
    (one,) = found("ram-lost", rows, config={"NUMA": False}, ext=more)
    assert one.level == "degraded"
    assert one.extents[-1] == ((4 * G + 12 * M) >> 12, (4 * G + 13 * M) >> 12)
    assert levels("ram-lost", rows, ext=more) == []


def test_a_pool_record_is_not_believed_where_entries_are_lost():
    """The RESERVED entry of the deposit is among those cut by 4.4."""
    holes = [(2 * G + at * 2 * M, M, 2) for at in range(80)]
    top = (4 * G, 16 * M)
    rows = [*CARVED, (2 * G - M, G, 1), *holes, (*top, 2)]
    (one,) = found("pool-record-lost", rows, "4.4", deposits=(top,))
    assert one.level == "degraded"
    assert one.extents == ((top[0] >> 12, sum(top) >> 12),)
    assert levels("pool-record-lost", rows, "4.14", deposits=(top,)) == []
