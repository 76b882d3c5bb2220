"""What sanitising costs: arrays beside a plain Python sweep, 10^2 to 10^6 entries.

The ratio of the two rows of a group is what the arrays gain.

pytest tests/benchmarks/test_sweep_bench.py --benchmark-only --benchmark-group-by=group
"""

import numpy as np
import pytest
from rivals.sanitize_points import sanitize_by_points

from e820pool.abi.e820 import E820_DTYPE
from e820pool.kernel.kernel_table import sanitize_table
from e820pool.sweep import sweep_rows

pytestmark = pytest.mark.benchmark(min_rounds=3, max_time=0.3)

SIZES = [10**n for n in range(2, 7)]
# Beyond this, one plain sweep takes seconds.
PLAIN_LIMIT = 10**5
NEVER_MERGE = (12, 0xEFFF_FFFF)
SHAPES = ["carved", "shuffled", "overlapping"]


def table(count, shape):
    rng = np.random.default_rng(7)
    made = np.empty(count, E820_DTYPE)
    made["addr"] = np.arange(count, dtype=np.uint64) << np.uint64(13)
    made["size"] = 1 << 13
    made["type"] = np.arange(count) % 2 + 1
    if shape == "shuffled":
        return made[rng.permutation(count)]
    if shape == "overlapping":
        made["addr"] = rng.integers(0, 1 << 46, count, dtype=np.uint64)
        made["size"] = rng.integers(0, (1 << 49) // count, count, dtype=np.uint64)
        made["type"] = rng.choice(np.array([1, 1, 1, 2, 3, 12], np.uint32), count)
    return made


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", SIZES)
def test_arrays(benchmark, count, shape):
    benchmark.group = f"sanitise {count} {shape} entries"
    made = table(count, shape)
    done, refused = benchmark(sanitize_table, made, never_merge=NEVER_MERGE)
    assert not refused
    assert done.size > count // 10


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [n for n in SIZES if n <= PLAIN_LIMIT])
def test_plain_python(benchmark, count, shape):
    benchmark.group = f"sanitise {count} {shape} entries"
    rows = table(count, shape).tolist()
    assert benchmark(sweep_rows, rows, NEVER_MERGE)


@pytest.mark.parametrize("shape", SHAPES)
def test_point_by_point_as_the_kernel_does(benchmark, shape):
    benchmark.group = f"sanitise 100 {shape} entries"
    rows = table(100, shape).tolist()
    assert benchmark(sanitize_by_points, rows, 3200, NEVER_MERGE)
