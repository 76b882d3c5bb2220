"""A pool of many extents: first fit, owners, growing, shrinking, refusals."""

import pytest

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ExtentSet
from e820pool.pool.claims import FREE_OWNER, RECORD_OWNER
from e820pool.pool.option import PmpoolOption
from e820pool.pool.pool import Pool, region_ledger


def free(start_pfn, end_pfn, firmware_type=1):
    return Deposit(
        start_pfn=start_pfn,
        end_pfn=end_pfn,
        owner=FREE_OWNER,
        firmware_type=firmware_type,
    )


def used(start_pfn, end_pfn, owner=7):
    return Deposit(start_pfn=start_pfn, end_pfn=end_pfn, owner=owner)


def pool_of(*deposits):
    return Pool(DepositLedger(deposits))


def check_unchanged(pool, action, message):
    before = pool.copy()
    with pytest.raises(InputError, match=message) as caught:
        action()
    assert "\n" not in str(caught.value)
    assert pool == before


def test_the_pools_own_owners_are_the_documented_ones():
    assert FREE_OWNER == 0x6565_7266_6C6F_6F70
    assert RECORD_OWNER == 0x6174_656D_6C6F_6F70


def test_an_empty_pool_has_nothing_to_give():
    pool = Pool()
    assert pool.alloc(1) is None
    assert len(pool.ledger()) == 0
    assert not pool.extents
    assert pool.release(0x100, 1) is False


def test_pages_of_a_ledger_are_used_unless_it_says_they_are_free():
    pool = pool_of(used(0x100, 0x110, owner=0), free(0x110, 0x118))
    assert pool.used == ExtentSet([(0x100, 0x110)])
    assert pool.free == ExtentSet([(0x110, 0x118)])


def test_allocation_is_first_fit_in_address_order_over_all_extents():
    pool = pool_of(free(0x300, 0x310), free(0x100, 0x104), used(0x200, 0x280))
    assert pool.alloc(2) == 0x100
    assert pool.alloc(4) == 0x300
    assert pool.alloc(2) == 0x102
    assert pool.alloc(13) is None
    assert pool.alloc(12) == 0x304
    assert not pool.free


def test_an_allocation_never_crosses_a_hole_but_does_cross_what_touches():
    pool = pool_of(free(0x100, 0x104), free(0x105, 0x107), free(0x107, 0x109, 7))
    assert pool.alloc(5) is None
    assert pool.alloc(4, owner=1) == 0x100
    assert pool.alloc(4, owner=2) == 0x105
    assert [d.firmware_type for d in pool.ledger()] == [1, 1, 7]


def test_alignment_is_that_of_the_page_number():
    pool = pool_of(free(0x103, 0x120))
    assert pool.alloc(4, 2) == 0x104
    assert pool.alloc(8, 3) == 0x108
    assert pool.alloc(1, 4) == 0x110
    assert pool.alloc(1, 8) is None
    assert pool.alloc(1, 0) == 0x103


@pytest.mark.parametrize("nr_pages", [0, -1])
def test_no_pages_are_never_allocated(nr_pages):
    assert pool_of(free(0x100, 0x104)).alloc(nr_pages) is None


def test_orders_and_owners_out_of_range_are_refused():
    pool = pool_of(free(0x100, 0x104))
    check_unchanged(pool, lambda: pool.alloc(1, 64), "limits are 0 and 63")
    check_unchanged(pool, lambda: pool.alloc(1, owner=-1), "limits are 0 and 0xfff")
    check_unchanged(
        pool, lambda: pool.alloc(1, owner=1 << 64), "limits are 0 and 0xfff"
    )
    message = "is the pool's own"
    check_unchanged(pool, lambda: pool.alloc(1, owner=FREE_OWNER), message)


def test_owners_are_kept_and_passed_on():
    pool = pool_of(free(0x100, 0x110))
    pool.alloc(4, owner=3)
    pool.alloc(4, owner=(1 << 64) - 1)
    assert [(d.start_pfn, d.end_pfn, d.owner) for d in pool.ledger()] == [
        (0x100, 0x104, 3),
        (0x104, 0x108, (1 << 64) - 1),
        (0x108, 0x110, FREE_OWNER),
    ]
    assert Pool(pool.ledger()) == pool


def test_released_pages_join_what_is_free_around_them():
    pool = pool_of(free(0x100, 0x110))
    start = pool.copy()
    for _ in range(16):
        pool.alloc(1, owner=5)
    assert len(pool.ledger()) == 1
    for pfn in (0x101, 0x103, 0x102, 0x100):
        assert pool.release(pfn, 1)
    assert len(pool.ledger()) == 2
    assert pool.release(0x104, 12)
    assert pool == start


def test_pages_of_several_owners_are_released_at_once():
    pool = pool_of(used(0x100, 0x104, 1), used(0x104, 0x108, 2))
    assert pool.release(0x102, 4)
    assert pool.free == ExtentSet([(0x102, 0x106)])
    assert pool.used == ExtentSet([(0x100, 0x102), (0x106, 0x108)])


@pytest.mark.parametrize(
    ("base_pfn", "nr_pages"),
    [
        (0xFF, 1),
        (0xFF, 2),
        (0x10F, 2),
        (0x110, 1),
        (0x100, 0x21),
        (0x100, -1),
        (0x110, 0),
    ],
)
def test_release_is_false_unless_every_page_is_the_pools(base_pfn, nr_pages):
    pool = pool_of(used(0x100, 0x110), used(0x111, 0x120))
    before = pool.copy()
    assert pool.release(base_pfn, nr_pages) is False
    assert pool == before


def test_pages_that_are_free_are_not_released_again():
    pool = pool_of(used(0x100, 0x104), free(0x104, 0x108))
    check_unchanged(pool, lambda: pool.release(0x103, 2), "are free already")


def test_a_pool_grows_by_deposits_of_either_kind():
    pool = pool_of(used(0x100, 0x104))
    pool.deposit([free(0x104, 0x108), used(0x200, 0x201, 9)])
    assert pool.extents == ExtentSet([(0x100, 0x108), (0x200, 0x201)])
    assert pool.alloc(4) == 0x104


def test_deposits_that_overlap_the_pool_or_each_other_are_refused():
    pool = pool_of(used(0x100, 0x104))
    both = "0x103000-0x104fff.* overlaps the pool: .*0x100000-0x103fff"
    check_unchanged(pool, lambda: pool.deposit([free(0x103, 0x105)]), both)
    twice = [free(0x200, 0x202), used(0x201, 0x203)]
    check_unchanged(pool, lambda: pool.deposit(twice), "deposits overlap")
    # One bad deposit among good ones: none comes in.
    mixed = [free(0x300, 0x301), free(0x100, 0x101)]
    check_unchanged(pool, lambda: pool.deposit(mixed), "overlaps the pool")


def test_free_pages_are_withdrawn_with_the_type_that_they_go_back_to():
    pool = pool_of(free(0x100, 0x108), free(0x108, 0x110, firmware_type=7))
    left = pool.withdraw(ExtentSet([(0x104, 0x10C)]))
    assert [(d.start_pfn, d.end_pfn, d.firmware_type) for d in left] == [
        (0x104, 0x108, 1),
        (0x108, 0x10C, 7),
    ]
    assert pool.extents == ExtentSet([(0x100, 0x104), (0x10C, 0x110)])
    assert pool.withdraw(ExtentSet()) == ()


def test_used_pages_are_not_withdrawn():
    pool = pool_of(free(0x100, 0x108), used(0x108, 0x109, 0xABC))
    message = r"PFNs \[0x108, 0x109\) are used by owner 0xabc"
    check_unchanged(pool, lambda: pool.withdraw(ExtentSet([(0x100, 0x109)])), message)
    pool.release(0x108, 1)
    pool.withdraw(ExtentSet([(0x100, 0x109)]))
    assert not pool.extents


def test_pages_that_are_not_the_pools_are_not_withdrawn():
    pool = pool_of(free(0x100, 0x108))
    two = ExtentSet([(0x100, 0x101), (0x107, 0x109)])
    message = r"PFNs \[0x107, 0x109\) are not all in the pool"
    check_unchanged(pool, lambda: pool.withdraw(two), message)


def test_a_new_region_is_free_but_for_the_page_of_its_record():
    pool = Pool(region_ledger(PmpoolOption.of_pages(0x1000, 16)))
    assert pool.alloc(16) is None
    assert pool.alloc(1) == 0x1001
    record = "hold the pool's record"
    check_unchanged(pool, lambda: pool.release(0x1000, 1), record)
    whole = ExtentSet([(0x1000, 0x1001)])
    check_unchanged(pool, lambda: pool.withdraw(whole), "are used by owner 0x6174656d")


def test_a_region_of_one_page_holds_its_record_alone():
    assert not Pool(region_ledger(PmpoolOption.of_pages(0x1000, 1))).free


def test_a_pool_is_told_apart_from_other_things():
    assert pool_of(free(1, 2)) != pool_of(used(1, 2))
    assert Pool() != 0
    assert repr(pool_of(free(1, 2), used(4, 8))) == "Pool(2 runs, 4 pages used, 1 free)"
    with pytest.raises(TypeError):
        hash(Pool())
