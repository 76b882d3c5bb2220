"""Predictions a second through the bulk form, one process.

Beside it what is fixed: reading and writing the JSON alone.

pytest tests/benchmarks/test_predict_bench.py --benchmark-only
"""

import json
import random

import pytest
from ratios import ratio

from e820pool.kernel.predict_records import predict_lines

pytestmark = pytest.mark.benchmark(min_rounds=3, max_time=0.5)

RECORDS = 200
ENTRIES = 128
# Times a prediction may take as long as reading and writing its JSON alone, by the
# standard library: some 1.2.
MOST = 1.4


def carved(rng):
    rows, addr = [[0, 0x9FC00, 1], [0x9FC00, 0x400, 2]], 1 << 20
    while len(rows) < ENTRIES:
        kind = 1 + len(rows) % 2
        size = 0x1000 * rng.randrange(1, 0x1000 if kind == 1 else 8)
        rows.append([addr, size, kind])
        addr += size
    return rows


def overlapping(rng):
    kinds = [1, 1, 1, 2, 3, 12]
    return [
        [rng.randrange(1 << 36), rng.randrange(1 << 30), rng.choice(kinds)]
        for _ in range(ENTRIES)
    ]


def lines(make, **fields):
    rng = random.Random(7)  # noqa: S311  the same tables each time
    common = {"kernel": "6.1", "kernel_range": [1 << 24, 3 << 24]}
    return [
        json.dumps({"id": n, "e820": make(rng)} | common | fields)
        for n in range(RECORDS)
    ]


CASES = {
    "carved": lines(carved),
    "overlapping": lines(overlapping),
    "with memmap= and a node": lines(
        carved, cmdline="memmap=1M$64M mem=4G", setup_data=[[1 << 21, 5000, 77]]
    ),
    "before 4.12": lines(carved, kernel="4.4"),
}


@pytest.mark.benchmark(group=f"{RECORDS} records of {ENTRIES} entries")
@pytest.mark.parametrize("case", CASES)
def test_predictions(benchmark, case):
    done = benchmark(lambda: list(predict_lines(CASES[case])))
    assert len(done) == RECORDS
    assert not any('"error"' in line for line in done)


@pytest.mark.benchmark(group=f"{RECORDS} records of {ENTRIES} entries")
def test_json_alone(benchmark):
    given = CASES["carved"]
    answers = [json.loads(line) for line in predict_lines(given)]

    def both_ways():
        return [json.loads(line) for line in given], [json.dumps(a) for a in answers]

    assert benchmark(both_ways)


def test_a_prediction_costs_little_beside_its_json(benchmark):
    given = CASES["carved"]
    answers = [json.loads(line) for line in predict_lines(given)]

    def json_alone():
        return [json.loads(line) for line in given], [json.dumps(a) for a in answers]

    assert ratio(benchmark, lambda: list(predict_lines(given)), json_alone) < MOST
