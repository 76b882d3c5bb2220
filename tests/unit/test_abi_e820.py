import numpy as np
import pytest
import rawbytes

from e820pool.abi import e820
from e820pool.abi.boot_params import E820_ENTRY
from e820pool.abi.e820 import (
    E820_DTYPE,
    E820_ENTRY_BYTES,
    encode_table,
    parse_table,
    table_of,
)
from e820pool.abi.layout import dtype_of
from e820pool.errors import BadImageError, InputError

ROWS = [(0, 0x9FC00, 1), (0xFFFF_FFFF_FFFF_F000, 0x1000, 2), (7, 9, 0xEFFF_FFFF)]


def test_the_constants_are_the_kernels():
    names = {name: getattr(e820, name) for name in e820.__all__ if "_TYPE_" in name}
    assert names == {
        "E820_TYPE_RAM": 1,
        "E820_TYPE_RESERVED": 2,
        "E820_TYPE_ACPI": 3,
        "E820_TYPE_NVS": 4,
        "E820_TYPE_UNUSABLE": 5,
        "E820_TYPE_PMEM": 7,
        "E820_TYPE_PRAM": 12,
        "E820_TYPE_RESERVED_KERN": 128,
        "E820_TYPE_SOFT_RESERVED": 0xEFFFFFFF,
    }
    assert e820.E820_MAX_ENTRIES_ZEROPAGE == 128


def test_an_entry_is_the_same_20_bytes_to_construct_and_to_numpy():
    assert E820_ENTRY.sizeof() == E820_DTYPE.itemsize == E820_ENTRY_BYTES == 20
    assert dtype_of(E820_ENTRY) == E820_DTYPE


def test_entries_are_read_in_their_order():
    table = parse_table(rawbytes.e820_table(ROWS))
    assert table.tolist() == ROWS


def test_reading_does_not_copy():
    data = rawbytes.e820_table(ROWS)
    assert np.shares_memory(parse_table(data), np.frombuffer(data, np.uint8))


def test_rows_are_written_as_the_kernel_reads_them():
    assert encode_table(table_of(ROWS)) == rawbytes.e820_table(ROWS)


def test_a_slice_with_gaps_is_written_packed():
    assert encode_table(table_of(ROWS)[::2]) == rawbytes.e820_table(ROWS[::2])


def test_no_rows_make_an_empty_table():
    assert table_of([]).dtype == E820_DTYPE
    assert encode_table(table_of([])) == b""
    assert len(parse_table(b"")) == 0


@pytest.mark.parametrize("length", [1, 19, 21])
def test_a_cut_entry_is_refused(length):
    with pytest.raises(BadImageError, match=rf"{length} bytes .* no multiple of 20"):
        parse_table(bytes(length))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1 << 64, 0, 0), "entry 1: addr 0x10000000000000000 is outside"),
        ((0, -1, 0), "entry 1: size -0x1 is outside 0..0xffffffffffffffff"),
        ((0, 0, 1 << 32), "entry 1: type 0x100000000 is outside 0..0xffffffff"),
        ((0, 0), "entry 1 is (0, 0), not three numbers"),
        (("a", 0, 0), "entry 1 is ('a', 0, 0), not three numbers"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(row, message):
    with pytest.raises(InputError) as caught:
        table_of([(0, 0, 0), row])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("value", [(1 << 64) - 1, 0])
def test_the_largest_and_smallest_numbers_fit(value):
    assert table_of([(value, value, value & 0xFFFFFFFF)])["addr"][0] == value


@pytest.mark.parametrize(
    "array",
    [np.zeros(3), np.zeros((1, 2), E820_DTYPE), np.zeros(2, [("addr", "<u8")])],
)
def test_only_tables_are_written(array):
    with pytest.raises(InputError, match="one-dimensional array"):
        encode_table(array)
