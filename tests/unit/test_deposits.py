"""The ledger: what is deposited, by whom."""

import pytest

from e820pool.deposits import Deposit, DepositLedger, parse_range, parse_size
from e820pool.errors import InputError
from e820pool.extents import MAX_PFN, ExtentSet
from e820pool.memory_map import MemoryMap

MIB = 1 << 20
PC = MemoryMap.of(
    [
        (0, 0x9FC00, 1),
        (0x9FC00, 0x400, 2),
        (0x100000, 0x7FF00000, 1),
        (0xFFFC0000, 0x40000, 2),
    ]
)


@pytest.mark.parametrize(
    ("text", "value"),
    [("4096", 4096), ("0x10", 16), ("4K", 4096), ("2m", 2 * MIB), ("0x1G", 1 << 30)],
)
def test_sizes_are_read_as_the_kernel_reads_them(text, value):
    assert parse_size(text) == value


@pytest.mark.parametrize(
    "text", ["", "K", "12Q", "0x", "-1", "1.5G", "1" * 70, "16777216T", "0b11", "1_0"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError):
        parse_size(text)


def test_the_end_of_a_range_is_inclusive_and_a_size_is_not():
    assert parse_range("0x1000-0x1fff") == (0x1000, 0x2000)
    assert parse_range("0x1000+4K") == (0x1000, 0x2000)
    assert parse_range("1M+2M") == (MIB, 3 * MIB)


@pytest.mark.parametrize(
    "text", ["0x1000", "0x2000-0x1000", "1M+0", "0xffffffffffffffff+1", "a-b", "-", "+"]
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(InputError):
        parse_range(text)


def test_touching_deposits_of_one_owner_are_one():
    ledger = DepositLedger.of_ranges([(0x3000, 0x4000), (0x1000, 0x3000)])
    assert list(ledger) == [Deposit(start_pfn=1, end_pfn=4)]


def test_touching_deposits_of_two_owners_stay_two():
    ledger = DepositLedger(
        [Deposit(start_pfn=1, end_pfn=2, owner=1), Deposit(start_pfn=2, end_pfn=3)]
    )
    assert [d.owner for d in ledger] == [1, 0]
    assert list(ledger.extents) == [(1, 3)]


def test_overlapping_deposits_are_refused_showing_both():
    with pytest.raises(InputError, match=r"0x1000-0x2fff.*0x2000-0x3fff"):
        DepositLedger.of_ranges([(0x1000, 0x3000), (0x2000, 0x4000)])


@pytest.mark.parametrize("pair", [(0x1000, 0x1800), (0x1001, 0x2000)])
def test_a_deposit_is_whole_pages(pair):
    with pytest.raises(InputError, match="whole pages"):
        DepositLedger.of_ranges([pair])


@pytest.mark.parametrize(("start", "end"), [(0, 0), (2, 1), (0, MAX_PFN + 1)])
def test_a_deposit_is_not_empty_and_within_the_limit(start, end):
    with pytest.raises(InputError, match="limit"):
        Deposit(start_pfn=start, end_pfn=end)


def test_withdrawing_a_middle_leaves_both_ends():
    ledger = DepositLedger([Deposit(start_pfn=10, end_pfn=20, owner=7)])
    left = ledger.withdraw(ExtentSet([(12, 15)]))
    assert [(d.start_pfn, d.end_pfn, d.owner) for d in left] == [
        (10, 12, 7),
        (15, 20, 7),
    ]


def test_withdrawing_what_is_not_there_is_refused_and_changes_nothing():
    ledger = DepositLedger.of_ranges([(0x1000, 0x2000)])
    with pytest.raises(InputError, match=r"\[0x2, 0x3\) are not deposited"):
        ledger.withdraw(ExtentSet([(1, 3)]))
    assert list(ledger.extents) == [(1, 2)]


def test_depositing_twice_is_refused():
    ledger = DepositLedger.of_ranges([(0x1000, 0x2000)])
    with pytest.raises(InputError, match="overlap"):
        ledger.deposit([Deposit(start_pfn=1, end_pfn=2)])
    assert len(ledger.deposit([Deposit(start_pfn=9, end_pfn=10)])) == 2


def test_a_deposit_inside_ram_is_accepted_up_to_its_last_page():
    DepositLedger.of_ranges([(0x100000, 0x80000000)]).validate_inside(PC)


@pytest.mark.parametrize(
    ("pair", "shown"),
    [
        ((0xFFFC0000, 0xFFFC1000), r"\[mem 0xfffc0000-0xffffffff\] is reserved"),
        ((0x7FFFF000, 0x80001000), "is not whole pages of RAM"),
        ((0x9F000, 0xA0000), r"\[mem 0x9fc00-0x9ffff\] is reserved"),
        ((0x200000000, 0x200001000), "is not whole pages of RAM"),
    ],
)
def test_a_deposit_outside_ram_is_refused_with_both_ranges(pair, shown):
    with pytest.raises(InputError, match=shown):
        DepositLedger.of_ranges([pair]).validate_inside(PC)
