import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawbytes

from e820pool.abi.pool_record import (
    RECORD_EXTENT,
    RECORD_EXTENT_DTYPE,
    RECORD_HEADER,
    RECORD_PFN_LIMIT,
    SETUP_E820POOL,
    BadRecordError,
    PoolRecord,
    RecordExtent,
    encode_record,
    parse_record,
)
from e820pool.abi.setup_data import SETUP_INDIRECT, SETUP_KEXEC_KHO
from e820pool.errors import BadImageError, CapacityError, InputError

SPEC = Path(__file__).parents[2] / "specs" / "pool-record.md"
ROWS = [(0x100000, 0x200, 7, 1), (0x180000, 1, 0x1_0000_0001, 1)]
DIGEST = bytes(range(0xA0, 0xB0))
RECORD = PoolRecord(
    extents=tuple(
        RecordExtent(base_pfn=base, nr_pages=pages, owner=owner, firmware_type=type_)
        for base, pages, owner, type_ in ROWS
    ),
    generation=3,
    map_digest=DIGEST,
)
NAMES = {"generation": 3, "map_digest": DIGEST}


def rows_of(rows):
    return np.array([(*row[:4], 0) for row in rows], RECORD_EXTENT_DTYPE)


def refusal(data):
    with pytest.raises(BadRecordError) as caught:
        parse_record(data)
    assert "\n" not in str(caught.value)
    return caught.value.id, str(caught.value)


def record(rows=ROWS, **changes):
    return rawbytes.pool_record(rows, generation=3, digest=DIGEST, **changes)


def test_the_example_of_the_specification_is_what_both_writers_write():
    lines = re.findall(r"\n {4}[0-9a-f]{4}  ((?:[0-9a-f]{2} ){16})", SPEC.read_text())
    example = bytes.fromhex("".join(lines))
    assert example == record() == encode_record(rows_of(ROWS), **NAMES)
    assert parse_record(example) == RECORD


@pytest.mark.parametrize(
    ("title", "layout"), [("Header", RECORD_HEADER), ("Extent", RECORD_EXTENT)]
)
def test_the_tables_of_the_specification_are_the_layout(title, layout):
    section = SPEC.read_text().split(f"### {title}, ")[1].split("\n### ")[0]
    rows = re.findall(r"(?m)^\| 0x([0-9a-f]+) \| (\d+) \| (\w+) \|", section)
    offset, ours = 0, []
    for field in layout.subcons:
        ours.append((offset, field.sizeof(), field.name))
        offset += field.sizeof()
    assert [(int(at, 16), int(size), name) for at, size, name in rows] == ours


def test_the_type_is_none_that_a_kernel_assigns():
    assert SETUP_E820POOL & SETUP_INDIRECT == 0
    assert SETUP_E820POOL > SETUP_KEXEC_KHO + (1 << 16)
    assert struct.pack("<I", SETUP_E820POOL) == b"e8pl"
    assert f"0x{SETUP_E820POOL:x}" == "0x6c703865"
    assert "`0x6c70_3865`" in SPEC.read_text()


def test_the_writers_agree_on_the_crc_of_the_standard():
    assert rawbytes.crc32(b"123456789") == zlib.crc32(b"123456789") == 0xCBF4_3926


def test_a_record_without_extents_is_an_emptied_pool():
    assert parse_record(record([])).extents == ()
    assert encode_record(rows_of([])) == rawbytes.pool_record()


def test_a_record_may_be_followed_by_anything():
    assert parse_record(record() + b"rest of the page") == RECORD


def test_touching_extents_are_kept_apart():
    rows = [(1, 1, 1, 1), (2, 1, 2, 1)]
    assert [one.owner for one in parse_record(record(rows)).extents] == [1, 2]


def test_the_last_page_of_the_address_space_is_an_extent():
    rows = [(RECORD_PFN_LIMIT - 1, 1, 0, 1)]
    assert parse_record(record(rows)).extents[0].end_pfn == RECORD_PFN_LIMIT


def test_a_newer_minor_version_is_read_by_its_own_sizes():
    newer = record(
        minor=9, header_more=b"new field", extent_more=b"more", trailing=b"table"
    )
    assert parse_record(newer) == replace(RECORD, minor=9)


def test_flags_that_may_be_ignored_are():
    assert parse_record(record(flags=0xFFFF_0000)) == RECORD


@pytest.mark.parametrize("flag", [1 << 0, 1 << 15])
def test_flags_that_may_not_be_ignored_are_refused(flag):
    id_, message = refusal(record(flags=flag))
    assert id_ == "record-newer-version"
    assert f"flags {flag:#x}" in message


@pytest.mark.parametrize("major", [2, 0xFFFF])
def test_a_newer_major_version_is_refused_whatever_else_is_in_it(major):
    data = record(major=major, crc=0, header_bytes=1)
    id_, message = refusal(data)
    assert id_ == "record-newer-version"
    assert message == f"pool record: version {major}.0, this reader knows up to 1"


@pytest.mark.parametrize("data", [b"E820POOK", b"\0" * 4096, b"x", record(major=0)])
def test_what_is_no_record_is_refused(data):
    assert refusal(data)[0] == "record-bad-magic"


@pytest.mark.parametrize("length", [0, 3, 8, 63, 64, 96, 127])
def test_a_cut_record_is_refused(length):
    id_, message = refusal(record()[:length])
    assert id_ == "record-truncated"
    assert f"{length:x}" in message


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"header_bytes": 63}, "header_bytes is 0x3f, the least is 0x40"),
        ({"extent_bytes": 31}, "extent_bytes is 0x1f, the least is 0x20"),
        ({"record_bytes": 129}, "record_bytes is 0x81, but only 0x80 are there"),
        (
            {"record_bytes": 127},
            "2 extents (0x2) need 0x80 bytes, record_bytes is 0x7f",
        ),
        (
            {"nr_extents": 0xFFFFFFFF},
            "4294967295 extents (0xffffffff) need 0x2000000020 bytes, record_bytes is",
        ),
        ({"header_bytes": 0xFFFFFFFF}, "need 0x10000003f bytes, record_bytes is 0x80"),
    ],
)
def test_absurd_sizes_are_refused_before_memory_is_taken(lie, message):
    id_, text = refusal(record(**lie))
    assert id_ == "record-truncated"
    assert message in text


@pytest.mark.parametrize("byte", [0x14, 0x28, 0x30, 0x40, 0x7F])
def test_a_changed_byte_is_found_by_the_crc(byte):
    data = bytearray(record())
    data[byte] ^= 1
    id_, message = refusal(bytes(data))
    assert id_ == "record-bad-crc"
    assert re.search(r"CRC is 0x\w{8}, its bytes give 0x\w{8}$", message)


def test_the_crc_covers_what_a_newer_version_appends():
    data = record(minor=1, trailing=b"appended")
    assert refusal(data[:-1] + b"?")[0] == "record-bad-crc"


BAD_EXTENTS = [
    ([(5, 0, 0, 1)], "extent 0 of 0x0 pages at PFN 0x5 is empty"),
    ([(5, 3, 0, 1), (7, 1, 0, 1)], "extent 1 of 0x1 pages at PFN 0x7 begins before"),
    ([(5, 1, 0, 1), (5, 1, 0, 1)], "extent 1 of 0x1 pages at PFN 0x5 begins before"),
    ([(9, 1, 0, 1), (5, 1, 0, 1)], "extent 1 of 0x1 pages at PFN 0x5 begins before"),
    ([((1 << 40) - 1, 2, 0, 1)], "at PFN 0xffffffffff reaches beyond the limit"),
    ([(1 << 40, 1, 0, 1)], "at PFN 0x10000000000 reaches beyond the limit"),
    ([(1, (1 << 64) - 1, 0, 1)], "at PFN 0x1 reaches beyond the limit 0x10000000000"),
    ([((1 << 64) - 1, 1, 0, 1)], "at PFN 0xffffffffffffffff reaches beyond the limit"),
]


@pytest.mark.parametrize(("rows", "message"), BAD_EXTENTS)
def test_extents_that_cannot_be_are_refused(rows, message):
    id_, text = refusal(record(rows))
    assert id_ == "record-bad-extents"
    assert message in text


@pytest.mark.parametrize(("rows", "message"), BAD_EXTENTS)
def test_extents_that_would_be_refused_are_not_written(rows, message):
    with pytest.raises(InputError) as caught:
        encode_record(rows_of([(*row, 0, 0)[:4] for row in rows]))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"generation": 1 << 64}, {"generation": -1}, {"map_digest": b"short"}]
)
def test_a_number_that_does_not_fit_is_refused(changes):
    with pytest.raises(InputError, match=r"0x|5 bytes"):
        encode_record(rows_of(ROWS), **changes)


def test_more_extents_than_a_node_holds_are_refused_before_they_are_read():
    many = np.broadcast_to(rows_of(ROWS)[:1], 1 << 27)
    with pytest.raises(
        CapacityError, match=r"134217728 extents need 0x100000040 bytes"
    ):
        encode_record(many)


def test_a_refusal_is_an_error_of_the_bytes():
    assert issubclass(BadRecordError, BadImageError)
