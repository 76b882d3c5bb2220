"""Draws: reproducible, the same one by one and in bulk."""

import pytest

from e820pool.stress.draws import Draws


def test_the_sequence_is_that_of_the_published_generator():
    """SplitMix64 with this state gives these numbers in its authors' code."""
    draws = Draws(0)
    draws._state = 1234567
    assert [draws.bits() for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_a_seed_decides_everything():
    one, two, other = Draws(5), Draws(5), Draws(6)
    first = [one.bits() for _ in range(9)]
    assert first == [two.bits() for _ in range(9)]
    assert first != [other.bits() for _ in range(9)]


@pytest.mark.parametrize("limit", [1, 2, 10, 1 << 20, 1 << 33, (1 << 64) - 1])
def test_arrays_and_single_draws_are_one_sequence(limit):
    one, many = Draws(7), Draws(7)
    assert many.many_below(limit, 500).tolist() == [
        one.below(limit) for _ in range(500)
    ]
    assert one.bits() == many.bits()


def test_a_fork_does_not_depend_on_what_was_drawn_from_other_forks():
    draws = Draws(3)
    first = draws.fork(1).bits()
    draws.fork(2).bits()
    assert draws.fork(1).bits() == first
    assert draws.fork(2).bits() != first


def test_draws_spread_as_their_names_say():
    draws = Draws(11)
    count = 20_000
    units = [draws.unit() for _ in range(count)]
    assert all(0 <= one < 1 for one in units)
    assert abs(sum(units) / count - 0.5) < 0.02
    waits = sum(draws.exponential(3.0) for _ in range(count)) / count
    assert abs(waits - 3) < 0.1
    retries = sum(draws.geometric(2.0) for _ in range(count)) / count
    assert abs(retries - 2) < 0.1


def test_a_geometric_mean_of_zero_is_never_a_retry():
    assert {Draws(1).geometric(0) for _ in range(20)} == {0}
