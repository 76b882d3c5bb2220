"""What reading and writing the boot ABI costs, beside construct alone.

pytest tests/benchmarks/test_abi_bench.py --benchmark-only --benchmark-group-by=group
"""

import numpy as np
import pytest
import rawbytes

from e820pool.abi.boot_params import BOOT_PARAMS, encode_boot_params, parse_boot_params
from e820pool.abi.e820 import E820_DTYPE, encode_table, parse_table
from e820pool.abi.pool_record import (
    RECORD_EXTENT_DTYPE,
    encode_record,
    parse_record,
)
from e820pool.abi.setup_data import parse_chain

PAGE = rawbytes.zero_page([(i << 20, 1 << 19, 1) for i in range(128)])
COMPILED = BOOT_PARAMS.compile()
MILLION = 10**6


@pytest.mark.benchmark(group="parse a 4096-byte boot_params")
@pytest.mark.parametrize(
    "parse",
    [parse_boot_params, BOOT_PARAMS.parse, COMPILED.parse],
    ids=["public API", "construct", "construct compiled"],
)
def test_parse_a_page(benchmark, parse):
    assert benchmark(parse, PAGE).hdr.version == 0x020F


@pytest.mark.benchmark(group="encode a 4096-byte boot_params")
@pytest.mark.parametrize("through", ["public API", "construct", "construct compiled"])
def test_encode_a_page(benchmark, through):
    encode, value = {
        "public API": (encode_boot_params, parse_boot_params(PAGE)),
        "construct": (BOOT_PARAMS.build, BOOT_PARAMS.parse(PAGE)),
        "construct compiled": (COMPILED.build, BOOT_PARAMS.parse(PAGE)),
    }[through]
    assert benchmark(encode, value) == PAGE


@pytest.fixture(scope="module")
def million():
    table = np.zeros(MILLION, E820_DTYPE)
    table["addr"] = np.arange(MILLION, dtype=np.uint64) << np.uint64(12)
    table["size"], table["type"] = 4096, 1
    return table


@pytest.mark.benchmark(group="a million entries")
def test_decode_a_million_entries(benchmark, million):
    """The sum makes the benchmark touch what a view would leave unread."""
    data = million.tobytes()
    total = benchmark(lambda: int(parse_table(data)["size"].sum()))
    assert total == 4096 * MILLION


@pytest.mark.benchmark(group="a million entries")
def test_encode_a_million_entries(benchmark, million):
    assert len(benchmark(encode_table, million)) == 20 * MILLION


@pytest.mark.benchmark(group="a chain")
def test_follow_ten_thousand_nodes(benchmark):
    placed = [(0x1000 + 64 * i, 9, bytes(48)) for i in range(10_000)]
    head, parts = rawbytes.setup_data_chain(placed)
    assert len(benchmark(parse_chain, head, parts)) == 10_000


@pytest.mark.benchmark(group="a record of ten thousand extents")
@pytest.mark.parametrize("way", ["parse", "encode"])
def test_a_record_of_ten_thousand_extents(benchmark, way):
    rows = np.zeros(10_000, RECORD_EXTENT_DTYPE)
    rows["base_pfn"], rows["nr_pages"] = np.arange(0, 20_000, 2), 1
    data = encode_record(rows)
    if way == "parse":
        assert len(benchmark(parse_record, data).extents) == 10_000
    else:
        assert benchmark(encode_record, rows) == data
