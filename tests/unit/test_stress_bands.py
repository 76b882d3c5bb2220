"""What several seeds say together, in numbers and in words."""

from e820pool.report.stress_text import stress_text
from e820pool.stress.bands import bands_of, has_deposits, spread_of
from e820pool.stress.limits import LIMITS, Sample
from e820pool.stress.workload import Workload


def sample(call, split, reserved=9, deposited=9):
    return Sample(call, 0.5, 1, 2, deposited, reserved, 1, split, split)._asdict()


def result(seed, *, call=None, policy="scattered", reserved=9, samples=((1, 9),)):
    fall = {"call": call, "created": seed + 1, "deposited_pages": 256 * (seed + 1)}
    end = sample(100, 40 + seed, reserved)
    return {
        "host": "8G",
        "policy": policy,
        "encoding": "split",
        "seed": seed,
        "reason": "",
        "limits": {
            limit.name: fall if call and limit.name == "zero-page" else None
            for limit in LIMITS
        },
        "peak": sample(90, 50 + seed),
        "end": end,
        "failed_calls": 0,
        "failed_guests": seed,
        "samples": [list(sample(*one).values()) for one in samples],
        "budgets": {
            "given_up": {"128": seed << 20},
            "choices": [[40, 0], [20, 5000], [10, 1 << 20]],
        },
    }


def test_a_spread_has_never_above_every_number():
    assert spread_of([3, None, 1]) == (1, 3, None)
    assert spread_of([None]) == (None, None, None)
    assert spread_of([]) == (None, None, None)
    assert spread_of([7]) == (7, 7, 7)


def test_a_limit_that_falls_with_some_seeds_has_no_end():
    results = [result(0, call=30), result(1, call=20), result(2)]
    (band,) = bands_of(results)
    falls = band["limits"]["zero-page"]
    assert falls["fell"] == 2
    assert falls["call"] == {"low": 20, "middle": 30, "high": None}
    assert falls["created"] == {"low": 1, "middle": 2, "high": 2}
    _, _, row, sentence = stress_text(results, Workload()).splitlines()
    assert row.split()[:6] == ["8G", "scattered", "0-2", "never", "20-never", "(1-2)"]
    assert sentence.startswith(
        "scattered on 8G (seeds 0-2): 3 of 9 guests found no memory; first zero-page "
        "(128) after 20 calls and more (never with 1 of 3 seeds), with guest 1 to 2, "
        "1 MiB to 2 MiB deposited: "
    )


def test_the_curve_is_the_range_at_each_call_of_the_longest_seed():
    one = result(0, samples=[(1, 10), (5, 20), (9, 15)])
    two = result(1, samples=[(1, 12), (4, 30)])
    (band,) = bands_of([one, two])
    assert band["curve"] == [[1, 10, 12, 12], [5, 20, 30, 30], [9, 15, 30, 30]]


def test_a_policy_is_compared_with_today_at_equal_waste():
    results = [result(0), result(0, policy="arenas:2M", reserved=11)]
    scattered, arenas = bands_of(results)
    assert scattered["as_scattered"]["low"] == 40
    assert arenas["beside"]["low"] == 2 << 12
    assert arenas["as_scattered"] == {"low": 20, "middle": 20, "high": 20}
    assert "beside deposits: RAM" in stress_text(results, Workload())


def test_seeds_without_an_answer_are_named():
    none = result(1) | {"failed_calls": 100}
    lost = result(2) | {"reason": "no room"}
    assert [has_deposits(one) for one in (none, lost)] == [False, False]
    (band,) = bands_of([result(0), none, lost])
    assert (band["seeds"], band["answered"]) == ([0, 1, 2], [0])
    text = stress_text([result(0), none, lost], Workload())
    assert "scattered on 8G (seed 2): cannot be had: no room" in text
    assert "scattered on 8G (seeds 0-1): no answer with seed 1; " in text


def test_of_many_seeds_some_are_named_and_the_rest_is_counted():
    results = [
        result(seed) | {"failed_calls": 100 if seed % 7 == 3 else 0}
        for seed in range(1000)
    ]
    text = stress_text(results, Workload())
    assert "(seeds 0-999): no answer with seed 3,10,17,24,31,38 and 137 more; " in text
