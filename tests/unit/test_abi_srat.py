"""The SRAT against bytes that were written with struct alone."""

import struct

import pytest
import rawbytes
from hypothesis import given
from hypothesis import strategies as st

from e820pool.abi.srat import parse_srat
from e820pool.errors import BadImageError

GIB = 1 << 30
# A processor's structure, as every machine has them.
CPU = struct.pack("<BBBBI8s", 0, 16, 0, 0, 1, bytes(8))


def test_memory_is_picked_out_of_other_structures():
    data = rawbytes.srat((0, GIB, 1), (4 * GIB, 2 * GIB, 3), others=CPU)
    one, two = parse_srat(data)
    assert (one.base_address, one.length, one.is_hot_pluggable) == (0, GIB, False)
    assert (two.base_address, two.length) == (4 * GIB, 2 * GIB)
    assert two.is_hot_pluggable


@pytest.mark.parametrize(("flags", "hot"), [(0, 0), (1, 0), (2, 0), (3, 1), (7, 1)])
def test_only_what_is_enabled_is_hot_pluggable(flags, hot):
    (found,) = parse_srat(rawbytes.srat((GIB, GIB, flags)))
    assert found.is_hot_pluggable == bool(hot)


def test_what_lies_behind_the_length_is_not_read():
    assert len(parse_srat(rawbytes.srat((0, GIB, 3), (GIB, GIB, 3), length=88))) == 1


def test_a_longer_structure_is_read_by_its_first_fields():
    longer = struct.pack("<BBIHQQIIQ", 1, 44, 0, 0, GIB, GIB, 0, 3, 0) + bytes(4)
    assert [one.base_address for one in parse_srat(rawbytes.srat(others=longer))] == [
        GIB
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "SRAT: 0 bytes"),
        (rawbytes.srat()[:47], "SRAT: 47 bytes"),
        (rawbytes.srat(signature=b"SLIT"), "signature is b'SLIT'"),
        (rawbytes.srat(length=47), "length is 0x2f: want 0x30 to 0x30"),
        (rawbytes.srat(length=49), "length is 0x31: want 0x30 to 0x30"),
        (rawbytes.srat(others=b"\1"), "at 0x30: its length is 0x0: want 2 to 0x1"),
        (rawbytes.srat(others=b"\0\1"), "at 0x30: its length is 0x1: want 2 to 0x2"),
        (rawbytes.srat(others=b"\0\3"), "at 0x30: its length is 0x3: want 2 to 0x2"),
        (rawbytes.srat(others=b"\1\4\0\0"), "structure at 0x30: 4 bytes"),
    ],
)
def test_a_damaged_table_is_one_line(data, message):
    with pytest.raises(BadImageError, match=message):
        parse_srat(data)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(noise):
    data = rawbytes.srat(others=noise)
    try:
        found = parse_srat(data)
    except BadImageError:
        return
    assert len(found) <= len(noise) // 40
