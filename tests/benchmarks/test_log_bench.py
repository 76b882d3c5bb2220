"""What a long log costs, beside grep.

pytest tests/benchmarks/test_log_bench.py --benchmark-only

The limit is ten times the processor time of ``grep -c BIOS-e820`` over the same file.
"""

import resource
import shutil
import subprocess

import pytest
from ratios import processor_time

from e820pool.sources.recognise import read_map

OTHER = b"[   12.345678] usb 1-1: new high-speed USB device number 5 using xhci_hcd\n"
MAP = b"""\
BIOS-provided physical RAM map:
BIOS-e820: [mem 0x0000000000000000-0x000000000009efff] usable
BIOS-e820: [mem 0x0000000000100000-0x000000007fffffff] usable
NX (Execute Disable) protection: active
"""
BYTES = 1 << 30
LIMIT = 10


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    if shutil.which("grep") is None:
        pytest.skip("needs grep")
    path = tmp_path_factory.mktemp("log") / "large.log"
    block = OTHER * 50_000
    with path.open("wb") as stream:
        stream.write(MAP)
        while stream.tell() < BYTES:
            stream.write(block)
    yield path
    path.unlink()


def grep_time(path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["grep", "-c", "BIOS-e820", path], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


@pytest.mark.benchmark(group="a log of 1 GiB")
def test_a_long_log_costs_at_most_ten_times_what_grep_does(benchmark, large):
    pairs = [
        (processor_time(lambda: read_map(str(large))), grep_time(large))
        for _ in range(7)
    ]
    benchmark.pedantic(read_map, (str(large),), rounds=1)
    ratio = min(ours for ours, _ in pairs) / min(theirs for _, theirs in pairs)
    benchmark.extra_info["ratio"] = round(ratio, 2)
    assert ratio < LIMIT
