"""What a verdict costs beside a prediction, on handoffs of 128 entries.

pytest tests/benchmarks/test_check_bench.py --benchmark-only --benchmark-group-by=group
"""

import json
from time import process_time

import pytest
from ratios import ratio

from e820pool.compat import judge, judge_each
from e820pool.compat.check_records import check_line
from e820pool.deposits import DepositLedger
from e820pool.handoff.build import build_handoff
from e820pool.kernel.predict_records import encode_line, predict_lines
from e820pool.kernel.profiles import known_releases, profile_for
from e820pool.memory_map import MemoryMap

MIB = 1 << 20
# Times a verdict may take as long as a prediction: some 18, since assumed options are
# asked about (each is a prediction and a check) and a prediction has become cheaper.
MOST = 22
# Times the verdicts of all 22 kernels may take as long as one kernel's: some 3.9.
ALL = 5
# Times they take as long as that where each is judged alone, at the least: some 5.5.
ALONE = 4.5


def check_lines(lines):
    return (encode_line(check_line(line)) for line in lines)


def records(count=40):
    rows, deposits = [[0, 0x9F000, 1], [0x9F000, 0x61000, 2]], []
    for at in range(63):
        start = (1 + 32 * at) * MIB
        rows += [[start, 31 * MIB, 1], [start + 31 * MIB, MIB, 2]]
        deposits.append([(start + 31 * MIB) >> 12, MIB >> 12])
    kernels = ("4.4", "5.10", "6.1", "7.3")
    record = {"e820": rows, "deposits": deposits, "cmdline": "quiet"}
    return [
        json.dumps(record | {"id": n, "kernel": kernels[n % 4]}) for n in range(count)
    ]


@pytest.mark.benchmark(group="40 records of 128 entries")
@pytest.mark.parametrize("lines", [predict_lines, check_lines])
def test_a_stream_of_records(benchmark, lines):
    given = records()
    assert len(benchmark(lambda: list(lines(given)))) == len(given)


def seconds(lines, given):
    best = float("inf")
    for _ in range(5):
        start = process_time()
        assert sum(1 for _ in lines(given)) == len(given)
        best = min(best, process_time() - start)
    return best


def test_a_verdict_costs_a_few_predictions():
    given = records()
    assert seconds(check_lines, given) < MOST * seconds(predict_lines, given)


def host():
    """Return what a host of 60 deposits hands over, as its kernels read it."""
    ranges = [f"{1024 + 4 * at}M+2M" for at in range(60)]
    machine = MemoryMap.of([(0, 0x9F000, 1), (MIB, 2047 * MIB, 1)])
    return build_handoff(machine, DepositLedger.of_ranges(ranges))


@pytest.mark.benchmark(group="a host of 60 deposits")
@pytest.mark.parametrize("way", ["one kernel", "all together", "all, each alone"])
def test_all_kernels(benchmark, way):
    handoff = host()
    releases = ["6.1"] if way == "one kernel" else known_releases()
    profiles = [profile_for(release) for release in releases]

    def judged():
        if way != "all, each alone":
            return list(judge_each(handoff, profiles))
        return [judge(handoff, profile) for profile in profiles]

    assert len(benchmark(judged)) == len(profiles)


def test_all_kernels_cost_a_few_times_what_one_does(benchmark):
    handoff = host()
    profiles = [profile_for(release) for release in known_releases()]
    newest = [profile_for("6.1")]

    def together():
        assert len(list(judge_each(handoff, profiles))) == len(profiles)

    assert ratio(benchmark, together, lambda: list(judge_each(handoff, newest))) < ALL


def test_judged_together_kernels_cost_a_part_of_what_each_does_alone(benchmark):
    handoff = host()
    profiles = [profile_for(release) for release in known_releases()]

    def alone():
        return [judge(handoff, profile) for profile in profiles]

    assert ratio(benchmark, alone, lambda: list(judge_each(handoff, profiles))) > ALONE
