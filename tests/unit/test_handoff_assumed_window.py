"""The window of a kernel that nobody named."""

from hypothesis import given
from hypothesis import strategies as st

from e820pool.extents import ByteRangeSet
from e820pool.handoff.placement import ASSUMED_WINDOW, assumed_window
from e820pool.table import E820Table

MIB = 1 << 20
SIZE = ASSUMED_WINDOW[1] - ASSUMED_WINDOW[0]
NOTHING = ByteRangeSet()


def window(*rows, taken=()):
    return assumed_window(E820Table.of(rows), ByteRangeSet(taken))


def test_the_usual_place_is_taken_where_it_is_free():
    assert window((MIB, 255 * MIB, 1)) == ASSUMED_WINDOW
    assert window((MIB, 63 * MIB, 1)) == ASSUMED_WINDOW


def test_the_next_whole_2_mib_are_taken_otherwise():
    ram = (MIB, 511 * MIB, 1)
    assert window(ram, (63 * MIB, 4096, 2)) == (64 * MIB, 64 * MIB + SIZE)
    taken = [(20 * MIB, 20 * MIB + 1), (100 * MIB, 100 * MIB + 9)]
    assert window(ram, taken=taken) == (22 * MIB, 22 * MIB + SIZE)
    assert window((17 * MIB, 255 * MIB, 1)) == (18 * MIB, 18 * MIB + SIZE)


def test_without_room_there_is_none():
    assert window((MIB, 62 * MIB, 1)) is None
    assert window((0, MIB, 1), (1 << 32, 40 * MIB, 1)) is None
    assert window() is None


ROWS = st.tuples(
    st.integers(0, 200).map(lambda n: n * MIB) | st.integers(0, (1 << 64) - 1),
    st.integers(0, 200).map(lambda n: n * MIB) | st.integers(0, (1 << 64) - 1),
    st.sampled_from((1, 1, 1, 2, 7)),
)


@given(st.lists(ROWS, max_size=8), st.lists(st.integers(0, 300), max_size=4))
def test_a_window_is_ram_and_nothing_else(rows, spots):
    taken = ByteRangeSet((at * MIB, at * MIB + 1) for at in spots)
    found = assumed_window(E820Table.of(rows), taken)
    if found is None:
        return
    assert found[0] >= ASSUMED_WINDOW[0]
    assert found[1] - found[0] == SIZE
    assert not taken.overlaps(*found)
    covered = NOTHING
    for addr, size, kind in rows:
        end = min(addr + size, (1 << 64) - 1)
        if kind == 1:
            covered |= ByteRangeSet([(addr, end)])
        else:
            assert end <= found[0] or addr >= found[1]
    assert covered.contains(*found)
