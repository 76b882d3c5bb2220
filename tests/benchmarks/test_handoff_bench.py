"""What building a handoff costs with many deposits, beside sorting them once.

pytest tests/benchmarks/test_handoff_bench.py --benchmark-only

Ten thousand deposits in touching pairs of two owners make as many table entries: near
the most that SETUP_E820_EXT can carry. To sort as many starts is the least that any way
of building has to do.
"""

from dataclasses import replace

import numpy as np
import pytest
from rawhandoff import ROWS

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.encodings.carved import split_table
from e820pool.handoff.strict import validate_handoff
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap

COUNT = 10_000
GROUP = f"{COUNT} deposits"
MAP = MemoryMap.of(ROWS)
STARTS = np.arange(COUNT, dtype=np.uint64) // 2 * 4 + np.arange(COUNT) % 2 + 0x200000
DEPOSITS = [
    Deposit(start_pfn=pfn, end_pfn=pfn + 1, owner=pfn % 2)
    for pfn in STARTS.astype(int).tolist()
]
LEDGER = DepositLedger(DEPOSITS)
# More than 3200 have to be asked for: no kernel holds them all.
OPTIONS = BuildOptions(max_entries=13_000)


@pytest.fixture(scope="module")
def whole():
    return build_handoff(MAP, LEDGER, OPTIONS)


@pytest.mark.benchmark(group=GROUP)
def test_argsort_of_the_starts(benchmark):
    mixed = np.random.default_rng(820).permutation(STARTS)
    assert benchmark(np.argsort, mixed, kind="stable").size == COUNT


@pytest.mark.benchmark(group=GROUP)
def test_a_ledger_of_them(benchmark):
    assert len(benchmark(DepositLedger, DEPOSITS)) == COUNT


@pytest.mark.benchmark(group=GROUP)
def test_the_table(benchmark):
    assert benchmark(split_table, MAP, LEDGER).size == COUNT + len(ROWS)


@pytest.mark.benchmark(group=GROUP)
def test_the_whole_handoff(benchmark):
    handoff = benchmark.pedantic(build_handoff, (MAP, LEDGER, OPTIONS), rounds=5)
    assert len(handoff.ledger) == COUNT


@pytest.mark.benchmark(group=GROUP)
def test_the_strict_writer_s_checks(benchmark, whole):
    benchmark(validate_handoff, whole)
    over_the_page = replace(whole, cmdline_addr=whole.boot_params_addr)
    with pytest.raises(InputError):
        validate_handoff(over_the_page)


@pytest.mark.benchmark(group=GROUP)
def test_a_prediction(benchmark, whole):
    profile = profile_for("6.1")
    view = benchmark.pedantic(predict, (whole, profile), rounds=3)
    assert view.map_source == "BIOS-e820"
