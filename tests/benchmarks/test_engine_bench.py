"""What the engine costs beside the kernel's own way to do the same, in C.

numpy sorts several times faster where a processor has AVX-512: no measure for others.

pytest tests/benchmarks/test_engine_bench.py --benchmark-only
"""

import numpy as np
import pytest
from compat_cases import check
from ratios import peak_of, ratio

from e820pool.abi.e820 import E820_DTYPE
from e820pool.deposits import Deposit, DepositLedger
from e820pool.handoff.budget import budget_curve, fit_table
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap
from e820pool.sweep import sweep_arrays, sweep_rows

MILLION = 10**6
MIB = 1 << 20


def table(shape, count, nr_types):
    """Make a shuffled table; bytes, whole pages."""
    random = np.random.default_rng(3)
    kind = random.integers(1, nr_types + 1, count).astype(np.uint32)
    mixed = random.permutation(count)
    if shape == "overlapping":
        addr = random.integers(0, count << 20, count).astype(np.uint64)
        size = random.integers(1, 1 << 21, count).astype(np.uint64)
    elif shape == "nested":
        addr = np.arange(count, dtype=np.uint64)
        size = np.uint64(2 * count) - 2 * addr
    else:
        widths = random.integers(1, 1 << 20, 2 * count + 1).astype(np.uint64)
        edges = np.cumsum(widths)
        step = 1 if shape == "touching" else 2
        addr = edges[: step * count : step]
        size = edges[1 : step * count + 1 : step] - addr
    return (addr << np.uint64(12))[mixed], (size << np.uint64(12))[mixed], kind


def entries(columns):
    made = np.zeros(columns[0].size, E820_DTYPE)
    made["addr"], made["size"], made["type"] = columns
    return made


# The kernel's list of entries that overlap makes nested ones quadratic. Measured with
# AVX-512: 0.06 to 0.09 with two types, 0.16 to 0.22 with eight.
@pytest.mark.benchmark(group="sanitize a million entries")
@pytest.mark.parametrize("shape", ["disjoint", "touching", "overlapping"])
@pytest.mark.parametrize(("nr_types", "most"), [(2, 0.5), (8, 0.75)])
def test_a_million_entries_cost_less_than_in_c(
    benchmark, compiled, shape, nr_types, most
):
    columns = table(shape, MILLION, nr_types)
    given = entries(columns)
    done = compiled.sanitize(given)
    for ours, name in zip(
        sweep_arrays(*columns), ("addr", "size", "type"), strict=True
    ):
        assert np.array_equal(ours, done[name])
    found = ratio(
        benchmark,
        lambda: sweep_arrays(*columns),
        lambda: compiled.sanitize(given),
        3,
    )
    assert found <= most


@pytest.mark.benchmark(group="sanitize nested entries")
@pytest.mark.parametrize(("count", "nr_types"), [(10**5, 2), (MILLION, 8)])
def test_nesting_costs_no_more_than_three_times_none(benchmark, count, nr_types):
    nested, flat = (table(shape, count, nr_types) for shape in ("nested", "disjoint"))
    found = ratio(
        benchmark, lambda: sweep_arrays(*nested), lambda: sweep_arrays(*flat), 5
    )
    assert found <= 3


@pytest.mark.benchmark(group="sanitize 128 entries")
@pytest.mark.parametrize("nr_types", [2, 8])
def test_a_zero_page_costs_no_more_than_the_plain_loop(benchmark, nr_types):
    """Both begin with the table of a zero page, an array."""
    zero_page = entries(table("overlapping", 128, nr_types))

    def ours():
        for _ in range(200):
            sweep_arrays(zero_page["addr"], zero_page["size"], zero_page["type"])

    def plain():
        for _ in range(200):
            sweep_rows(zero_page.tolist())

    assert ratio(benchmark, ours, plain) <= 1.2


# Some 4 without overlaps, 12 with them: what Python costs where C takes 10 us.
@pytest.mark.benchmark(group="sanitize 128 entries")
@pytest.mark.parametrize("shape", ["touching", "overlapping"])
def test_a_zero_page_costs_some_ten_times_what_it_does_in_c(benchmark, compiled, shape):
    zero_page = entries(table(shape, 128, 8))

    def ours():
        for _ in range(200):
            sweep_arrays(zero_page["addr"], zero_page["size"], zero_page["type"])

    def in_c():
        for _ in range(200):
            compiled.sanitize(zero_page)

    assert ratio(benchmark, ours, in_c) <= 20


@pytest.mark.benchmark(group="sanitize ten million entries")
def test_ten_million_entries_take_less_than_four_gib(benchmark):
    code = """
import numpy as np
from e820pool.sweep import sweep_arrays
random = np.random.default_rng(1)
count = 10**7
addr = random.integers(0, count << 20, count).astype(np.uint64) << np.uint64(12)
size = random.integers(1, 1 << 21, count).astype(np.uint64) << np.uint64(12)
kind = random.integers(1, 9, count).astype(np.uint32)
assert sweep_arrays(addr, size, kind)[0].size > count // 2
"""
    peak = benchmark.pedantic(peak_of, (code,), rounds=1)
    benchmark.extra_info["peak_bytes"] = peak
    assert peak < 4 << 30


def gaps_of(count):
    """Make a table of deposits of a page with RAM of any size between them."""
    random = np.random.default_rng(5)
    gaps = random.integers(1, 1 << 20, count + 1).astype(np.uint64) << np.uint64(12)
    made = np.zeros(2 * count + 1, E820_DTYPE)
    size = np.full(2 * count + 1, 4096, np.uint64)
    size[::2] = gaps
    made["size"], made["type"] = size, 2
    made["type"][::2] = 1
    made["addr"] = np.cumsum(size) - size + np.uint64(MIB)
    return made, gaps


@pytest.mark.benchmark(group="10^5 deposits to 100 entries")
@pytest.mark.parametrize(("budget", "most"), [(100, 2), (100_000, 3)])
def test_the_optimum_costs_about_a_sort_of_the_gaps(benchmark, compiled, budget, most):
    made, gaps = gaps_of(10**5)
    assert np.array_equal(compiled.sort(gaps), np.sort(gaps))
    found = ratio(
        benchmark, lambda: fit_table(made, budget), lambda: compiled.sort(gaps), 15
    )
    assert found < most


@pytest.mark.benchmark(group="10^5 deposits to 100 entries")
def test_the_whole_curve(benchmark):
    made, _ = gaps_of(10**5)
    assert benchmark(budget_curve, made).nr_entries[0] == made.size


@pytest.mark.benchmark(group="10^5 deposits into 1000 entries")
def test_a_handoff_and_its_check_cost_a_few_sorts(benchmark, compiled):
    rows, at = [(0, 0x9F000, 1)], MIB
    for index in range(500):
        rows.append((at, 256 * MIB, 1))
        rows.append((at + 256 * MIB, MIB, 2 + index % 2))
        at += 258 * MIB
    memory_map = MemoryMap.of(rows)
    random = np.random.default_rng(0)
    pages = [
        np.arange(start, end, 2)
        for start, end in memory_map.ram_pages()
        if start > 4 << 18 >> 2
    ]
    chosen = random.choice(np.concatenate(pages[3:20]), 10**5, replace=False)
    ledger = DepositLedger(
        Deposit(start_pfn=pfn, end_pfn=pfn + 1) for pfn in chosen.tolist()
    )
    profile, options = profile_for("6.1"), BuildOptions(max_entries=3195)

    def build_and_check():
        handoff = build_handoff(memory_map, ledger, options)
        return check(handoff, profile)

    assert build_and_check().verdict != "unsafe"
    frames = chosen.astype(np.uint64)
    assert ratio(benchmark, build_and_check, lambda: compiled.sort(frames), 9) < 20
