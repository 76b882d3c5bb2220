"""Each reader's seconds and bytes are at most a stated factor of its input.

The factors are stated in specs/sources.md ("Bounds"). Each command runs in a fork of
this process, so that what is counted is its own, and not the start of Python.
"""

import json
import lzma
import os
import resource
import subprocess
import sys
import zlib

import fuzzing
import printers
import pytest
import rawbytes

MIB = 1 << 20
# What a command holds whatever it reads: modules, tables, the model.
FLOOR_BYTES, FLOOR_SECONDS = 48 * MIB, 8
TIMES_BYTES, SECONDS_A_MIB = 40, 40
INPUT = MIB // 16


def grown(seed):
    """Return a text or blob of the wanted size: the seed again and again."""
    return (seed * (INPUT // len(seed) + 1))[:INPUT]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resources")
    fuzzing.prepare(folder)
    return folder


def spent(reader, place, data):
    """Run a reader in a fork; return its bytes beyond ours, and its seconds."""
    child = os.fork()
    if not child:
        code = 1
        try:
            reader.run(place, data)
            code = 0
        finally:
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the command broke a rule"
    return usage.ru_maxrss << 10, usage.ru_utime + usage.ru_stime


def hold_to_bounds(reader, place, data):
    least, _ = spent(reader, place, reader.seeds[0])
    most, seconds = spent(reader, place, data)
    assert most - least < FLOOR_BYTES + TIMES_BYTES * len(data)
    assert seconds < FLOOR_SECONDS + SECONDS_A_MIB * len(data) / MIB


@pytest.mark.parametrize("name", fuzzing.BY_NAME)
def test_a_long_input_takes_its_factor_at_most(place, name):
    reader = fuzzing.BY_NAME[name]
    for seed in reader.seeds[:1]:
        hold_to_bounds(reader, place, grown(seed))


def iomem(rows):
    """Return the rows as /proc/iomem shows them (kernel/resource.c, r_show())."""
    names = {1: "System RAM", 2: "Reserved"}
    return "".join(
        f"{addr:08x}-{addr + size - 1:08x} : {names[kind]}\n"
        for addr, size, kind in rows
    )


ROWS = [(MIB + (n << 13), 4096, 1 + n % 2) for n in range(240_000)]
LONG = {
    "json": lambda rows: json.dumps(
        {"schema": 1, "kind": "memory-map", "entries": rows}
    ),
    "log": lambda rows: printers.linux(rows[: len(rows) // 3]),
    "iomem": iomem,
}


def shown_in(path, form):
    """Return the bytes that a process of its own took to show a file."""
    words = [sys.executable, "-m", "e820pool", "show", path, "--format", form]
    child = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_maxrss << 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "form"), [("json", "table"), ("log", "json"), ("iomem", "table")]
)
def test_a_long_table_is_held_in_three_times_its_text(tmp_path, kind, form):
    """A million entries took 1 GB as JSON of 22 MiB, 0.5 GB as an iomem of 30."""
    short, long = tmp_path / "short", tmp_path / "long"
    short.write_text(LONG[kind](ROWS[:99]), encoding="utf-8")
    long.write_text(LONG[kind](ROWS), encoding="utf-8")
    size = long.stat().st_size
    assert size > 4 * MIB
    assert shown_in(long, form) - shown_in(short, form) < 3 * size


ZEROS = bytes(MIB)


def packed(stream, nr_mib):
    parts = [stream.compress(ZEROS) for _ in range(nr_mib)]
    return b"".join([*parts, stream.flush()])


# 300 MiB of zeros, in as little as a packer makes of it.
BOMBS = {
    "gzip": lambda: packed(zlib.compressobj(9, wbits=31), 300),
    "xz": lambda: packed(lzma.LZMACompressor(check=lzma.CHECK_CRC32), 300),
}


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("name", ["map", "image"])
def test_a_bomb_costs_no_more_than_the_limit_of_what_it_holds(place, name, kind):
    """A file of 30 KB as a kernel took 72 s and 2 GiB."""
    reader, data = fuzzing.BY_NAME[name], BOMBS[kind]()
    if name == "image":
        data = rawbytes.bzimage(payload=data, payload_length=len(data))
    least, _ = spent(reader, place, reader.seeds[0])
    most, seconds = spent(reader, place, data)
    # 64 MiB are unpacked of a text, and held twice where it is taken out.
    assert most - least < FLOOR_BYTES + 128 * MIB
    assert seconds < 4 * FLOOR_SECONDS


def test_an_xz_header_that_claims_a_dictionary_of_4_gib_is_refused(place):
    """What liblzma allocates is what the header says, before the first byte."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}]
    data = bytearray(lzma.compress(b"x" * 99, format=lzma.FORMAT_XZ, filters=filters))
    at = data.index(b"\x21\x01") + 2
    data[at] = 40
    end = 12 + (data[12] + 1) * 4
    data[end - 4 : end] = zlib.crc32(data[12 : end - 4]).to_bytes(4, "little")
    with pytest.raises(lzma.LZMAError):
        lzma.LZMADecompressor(memlimit=1 << 30).decompress(bytes(data))
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ("map", "config"):
        fuzzing.BY_NAME[name].run(place, bytes(data))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (most - limit) << 10 < FLOOR_BYTES
