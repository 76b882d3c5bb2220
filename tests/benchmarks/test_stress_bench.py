"""What simulating costs: by calls, and not by the size of the host.

pytest tests/benchmarks/test_stress_bench.py --benchmark-only
"""

import json
import os
import subprocess
import sys
import time

import pytest
from ratios import peak_of, processor_time, words_of

from e820pool.stress.host import generated_map
from e820pool.stress.simulate import simulate
from e820pool.stress.workload import Workload

GIB = 1 << 30
SIZES = {"256 GiB": 256 * GIB, "2 TiB": 2048 * GIB, "12 TiB": 12288 * GIB}
# As many guests come and go as it takes for a million calls in a week.
BUSY = {"guests": 1000, "days": 7.0, "lifetime_days": 0.12, "guest_ram_share": 0.5}


def run(calls, size=12288 * GIB, policy="scattered", **changed):
    workload = Workload(**(BUSY | {"max_calls": calls} | changed))
    outcome = simulate(generated_map(size), workload, policy)
    assert outcome.samples[-1].call == calls
    return outcome


@pytest.mark.benchmark(group="a week of a 12 TiB host")
def test_cost_grows_with_calls_and_no_faster(benchmark):
    costs = {
        calls: processor_time(lambda n=calls: run(n)) / calls
        for calls in (10**4, 10**5, 10**6)
    }
    benchmark.pedantic(run, (10**4,), rounds=1)
    benchmark.extra_info["seconds_a_call"] = costs
    assert costs[10**5] < 1.5 * costs[10**4]
    assert costs[10**6] < 1.5 * costs[10**5]


# Seconds of the processor for so many calls; the most bytes are the last word.
MANY = """
import sys, time
from e820pool.stress.host import generated_map
from e820pool.stress.simulate import simulate
from e820pool.stress.workload import Workload
calls = int(sys.argv[1])
busy = {"guests": 1000, "lifetime_days": 0.12, "guest_ram_share": 0.5}
workload = Workload(days=2 + 10 * calls / 10**6, max_calls=calls, **busy)
outcome = simulate(generated_map(12 << 40), workload, "scattered")
assert outcome.samples[-1].call == calls
print(time.process_time())
"""


@pytest.mark.slow
@pytest.mark.benchmark(group="months of a 12 TiB host")
def test_ten_million_calls_cost_ten_times_a_million_and_no_more_memory(benchmark):
    """Guests come and go, so that what is there at one time is the same."""
    few = words_of(MANY, 10**6, seconds=3600)
    many = benchmark.pedantic(words_of, (MANY, 10**7), {"seconds": 14400}, rounds=1)
    (cost, peak), (more, higher) = (map(float, words) for words in (few, many))
    benchmark.extra_info["seconds"] = {"10^6": cost, "10^7": more}
    benchmark.extra_info["peak_bytes"] = {"10^6": peak, "10^7": higher}
    assert more < 15 * cost
    assert higher < 1.2 * peak


@pytest.mark.benchmark(group="2 * 10^4 calls on hosts of every size")
@pytest.mark.parametrize("policy", ["scattered", "top-down", "arenas:2M"])
def test_cost_does_not_grow_with_ram(benchmark, policy):
    # Guests of one size, so that all hosts see the same calls.
    costs = {}
    for name, size in SIZES.items():
        share = 0.4 * SIZES["256 GiB"] / size
        costs[name] = min(
            processor_time(
                lambda s=size, part=share: run(
                    20_000, s, policy, guest_ram_share=part, guests=400
                )
            )
            for _ in range(3)
        )
    benchmark.pedantic(run, (10**4,), rounds=1)
    benchmark.extra_info["seconds"] = costs
    assert max(costs.values()) < 1.5 * min(costs.values())


@pytest.mark.benchmark(group="a week of a 12 TiB host")
def test_a_million_calls_take_less_than_a_gib(benchmark):
    """No guest leaves, so that all that is deposited stays."""
    code = """
from e820pool.stress.host import generated_map
from e820pool.stress.simulate import simulate
from e820pool.stress.workload import Workload
workload = Workload(guests=1000, lifetime_days=0, grows_per_day=300, max_calls=10**6)
outcome = simulate(generated_map(12 << 40), workload, "scattered")
assert outcome.samples[-1].call == 10**6
assert (outcome.samples[-1].guests, outcome.failed_calls) == (1000, 0)
"""
    peak = benchmark.pedantic(peak_of, (code,), rounds=1)
    benchmark.extra_info["peak_bytes"] = peak
    assert peak < 1 << 30


def fleet(path, count):
    """Write a fleet of hosts, each a little different from the one before."""
    with path.open("w") as out:
        for at in range(count):
            rows = [[0, 0x9F000, 1], [0x9F000, 0x1000, 2], [1 << 20, 3 << 30, 1]]
            rows += [[(16 << 30) + (at << 16) + (n << 32), 4096, 2] for n in range(30)]
            rows.append([4 << 30, (8 << 30) + (at << 12), 1])
            out.write(json.dumps({"id": str(at), "e820": rows}) + "\n")
    return path


CHECK = """
import contextlib, io, sys
from pathlib import Path
from e820pool.cli import main
path, kernels, jobs = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()):
    code = main(["fleet", path, "--kernel", kernels, "--jobs", jobs])
assert code == 0, code
"""
# What the busiest worker had at one time, in KiB, as the system says it.
WORKERS = """
def peak(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(x.split()[1]) for x in lines if x.startswith("VmHWM")), 0)
found = Path("/proc/self/task").glob("*/children")
pids = [pid for one in found for pid in one.read_text().split()]
print("workers", len(pids), max(map(peak, pids), default=0) << 10)
"""


def workers_of(words):
    at = words.index("workers")
    return int(words[at + 1]), int(words[at + 2])


@pytest.mark.slow
@pytest.mark.benchmark(group="a fleet")
def test_ten_thousand_maps_on_all_kernels_need_constant_memory(benchmark, tmp_path):
    """Both of what reads and tells, and of the workers that judge."""
    pytest.importorskip("joblib", reason="pip install e820pool[sweep]")
    few, many = (fleet(tmp_path / f"{n}.jsonl", n) for n in (100, 10_000))
    small = words_of(CHECK + WORKERS, few, "all", 2)
    large = benchmark.pedantic(
        words_of, (CHECK + WORKERS, many, "all", 2), {"seconds": 3000}, rounds=1
    )
    peaks = [(int(words[-1]), workers_of(words)[1]) for words in (small, large)]
    benchmark.extra_info["peak_bytes"] = {"100 maps": peaks[0], "10^4 maps": peaks[1]}
    assert workers_of(large)[0] >= 2
    assert peaks[1][0] < 1.1 * peaks[0][0]
    assert peaks[1][1] < 1.1 * peaks[0][1]


# Seconds of a processor: this process, and the busiest worker.
PROCESSOR = """
import os, time
def seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
found = Path("/proc/self/task").glob("*/children")
workers = [seconds(pid) for one in found for pid in one.read_text().split()]
print("seconds", time.process_time(), max(workers, default=0.0))
"""


@pytest.mark.benchmark(group="a fleet")
def test_two_workers_take_at_most_six_tenths_of_the_time_of_one(benchmark, tmp_path):
    """By processor time of what has to follow on each other: the reader, a worker.

    Wall time is asked for too where nothing else runs on two processors. As much more
    is allowed as two processors of this machine slow each other down.
    """
    pytest.importorskip("joblib", reason="pip install e820pool[sweep]")
    path = fleet(tmp_path / "fleet.jsonl", 2000)

    def costs(jobs):
        started = time.monotonic()
        words = words_of(CHECK + PROCESSOR, path, "all", jobs)
        at = words.index("seconds")
        busy = sum(map(float, words[at + 1 : at + 3]))
        return busy, time.monotonic() - started

    is_idle = len(os.sched_getaffinity(0)) > 1 and os.getloadavg()[0] < 0.5
    pairs = [(costs(1), costs(2), slowed_by_a_twin()) for _ in range(2)]
    benchmark.pedantic(costs, (2,), rounds=1)
    busy, wall = (
        min(two[at] for _, two, _ in pairs) / min(one[at] for one, _, _ in pairs)
        for at in (0, 1)
    )
    # Never so much that two workers are of no use.
    most = min(0.9, 0.6 * max(slowed for *_, slowed in pairs))
    benchmark.extra_info["ratio"] = round(busy, 2)
    benchmark.extra_info["wall_ratio"] = round(wall, 2)
    benchmark.extra_info["most"] = round(most, 2)
    assert busy <= most
    assert wall <= most or not is_idle


def slowed_by_a_twin():
    """Return how many times longer plain work takes beside the same on another core.

    Two processors of a rented machine are often the two threads of one core.
    """
    loop = [sys.executable, "-c", LOOP]
    (alone,) = seconds_of(loop)
    return max(1, max(seconds_of(loop, loop)) / alone)


LOOP = """
import time
times = []
for _ in range(20):
    started = time.process_time()
    sum(number * number for number in range(300_000))
    times.append(time.process_time() - started)
print(sorted(times)[10])
"""


def seconds_of(*commands):
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    return [float(process.communicate()[0]) for process in running]
