"""E820Table: what entries name, with one rule for those that reach 2^64."""

import numpy as np
import pytest

from e820pool import table as tables
from e820pool.abi.e820 import E820_DTYPE
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet
from e820pool.table import E820Table

TOP = 1 << 64
LAST_PAGE = TOP - 0x1000


@pytest.fixture(autouse=True, params=[0, 256], ids=["arrays", "rows"])
def short(request, monkeypatch):
    """Have tables of so many rows as rows, and longer ones as arrays."""
    monkeypatch.setattr(tables, "_SHORT", request.param)


def test_bytes_are_what_entries_name_whatever_lies_over_them():
    table = E820Table.of([(0x1000, 0x3000, 1), (0x2000, 0x1000, 2), (0x8000, 0, 1)])
    assert table.covered == table.bytes_of(1) == ByteRangeSet([(0x1000, 0x4000)])
    assert table.bytes_of(2) == ByteRangeSet([(0x2000, 0x3000)])
    assert table.bytes_of(1, 2) == table.covered
    assert table.bytes_but(1) == table.bytes_of(2)
    assert not table.bytes_of()
    assert not table.bytes_of(3)


def test_once_resolved_every_byte_has_the_highest_type():
    table = E820Table.of([(0x2000, 0x1000, 2), (0x1000, 0x3000, 1)]).resolved()
    assert table.rows() == [
        (0x1000, 0x1000, 1),
        (0x2000, 0x1000, 2),
        (0x3000, 0x1000, 1),
    ]
    assert table.bytes_of(1) == ByteRangeSet([(0x1000, 0x2000), (0x3000, 0x4000)])
    assert table.resolved() is table


@pytest.mark.parametrize(
    ("size", "end", "reaches"),
    [
        pytest.param(0xFFE, TOP - 2, False, id="below"),
        pytest.param(0xFFF, TOP - 1, False, id="just below"),
        pytest.param(0x1000, TOP - 1, True, id="at"),
        pytest.param(0x1001, TOP - 1, True, id="beyond"),
        pytest.param(TOP - 1, TOP - 1, True, id="far beyond"),
    ],
)
def test_an_entry_that_reaches_2_64_names_all_from_its_start_on(size, end, reaches):
    table = E820Table.of([(0, 0x1000, 1), (LAST_PAGE, size, 2)])
    named = ByteRangeSet([(LAST_PAGE, end)])
    assert table.bytes_of(2) == table.bytes_but(1) == named
    assert table.covered == named | ByteRangeSet([(0, 0x1000)])
    assert table.reaches_top.tolist() == [False, reaches]
    assert table.is_refused is reaches
    assert table.overlapping(TOP - 3, TOP - 2).rows() == [(LAST_PAGE, size, 2)]


@pytest.mark.parametrize("size", [0x1000, 0x1001])
def test_a_table_that_reaches_2_64_cannot_be_resolved(size):
    table = E820Table.of([(0, 0x1000, 1), (LAST_PAGE, size, 2)])
    with pytest.raises(InputError, match=rf"entry 1 .* size {size:#x} reaches 2\^64"):
        table.resolved()


def test_a_table_just_below_2_64_is_resolved():
    table = E820Table.of([(LAST_PAGE, 0xFFF, 2)])
    assert table.resolved() == table


def test_entries_that_overlap_a_range_keep_their_order():
    rows = [(0x3000, 0x1000, 1), (0x1000, 0x1000, 2), (0x1800, 0, 3)]
    table = E820Table.of(rows)
    assert table.overlapping(0x1000, 0x3001).rows() == rows[:2]
    assert table.overlapping(0x1FFF, 0x3000).rows() == rows[1:2]
    assert table.overlapping(0x2000, 0x3000).rows() == []


def test_tables_are_joined_one_after_the_other():
    rows = [(0x3000, 0x1000, 1), (0x1000, 0x1000, 2)]
    first, second = (np.array([row], E820_DTYPE) for row in rows)
    assert E820Table.joined([first, second]).rows() == rows
    assert len(E820Table.joined([])) == 0


def test_tables_are_equal_where_their_entries_are():
    one, two = (E820Table.of([(0, 0x1000, kind)]) for kind in (1, 2))
    assert one == E820Table.of([(0, 0x1000, 1)]) != two
    assert hash(one) == hash(E820Table.of([(0, 0x1000, 1)]))
    assert repr(one) == "E820Table.of([(0, 4096, 1)])"
