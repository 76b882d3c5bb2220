"""The depositor's pattern: orders, calls, retries; nothing is lost on the way."""

import pytest
from rivals.depositor import deposit_call, deposit_pages, deposit_until, withdraw_pages
from rivals.region import PmpoolRegion

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import CapacityError, InputError
from e820pool.extents import ExtentSet
from e820pool.pool.claims import FREE_OWNER
from e820pool.pool.option import PmpoolOption
from e820pool.pool.pool import Pool
from e820pool.stress.workload import HV_DEPOSIT_MAX, PAGES_BEFORE_VP, split_calls


class Orders:
    """An allocator that has nothing above a given order, and notes what is asked."""

    def __init__(self, max_order, nr_pages=1 << 20):
        self.max_order = max_order
        self.left = nr_pages
        self.next_pfn = 0x100000
        self.asked = []
        self.back = []

    def alloc(self, nr_pages, *, owner):  # noqa: ARG002  the protocol has it
        order = nr_pages.bit_length() - 1
        self.asked.append(order)
        if order > self.max_order or 1 << order > self.left:
            return None
        self.left -= 1 << order
        self.next_pfn += 1 << order
        return self.next_pfn - (1 << order)

    def release(self, base_pfn, nr_pages):
        self.left += nr_pages
        self.back.append((base_pfn, nr_pages))
        return True

    def is_held(self, base_pfn, nr_pages):  # noqa: ARG002  the protocol has them
        return True


def free_pool(*extents):
    return Pool(
        DepositLedger(
            Deposit(start_pfn=start, end_pfn=end, owner=FREE_OWNER)
            for start, end in extents
        )
    )


def sizes(deposits):
    return [one.nr_pages for one in deposits]


def test_a_call_takes_as_many_pages_as_its_input_page_can_name():
    assert HV_DEPOSIT_MAX == 511
    assert PAGES_BEFORE_VP == 90


@pytest.mark.parametrize(
    ("nr_pages", "calls"),
    [
        (0, []),
        (1, [1]),
        (510, [510]),
        (511, [511]),
        (512, [511, 1]),
        (1022, [511, 511]),
        (1023, [511, 511, 1]),
    ],
)
def test_any_number_is_split_into_calls_of_at_most_511(nr_pages, calls):
    assert list(split_calls(nr_pages)) == calls


@pytest.mark.parametrize(
    ("nr_pages", "blocks"),
    [
        (1, [1]),
        (2, [2]),
        (3, [2, 1]),
        (90, [64, 16, 8, 2]),
        (256, [256]),
        (511, [256, 128, 64, 32, 16, 8, 4, 2, 1]),
    ],
)
def test_the_largest_order_comes_first(nr_pages, blocks):
    allocator = Orders(max_order=10)
    assert sizes(deposit_call(allocator, nr_pages)) == blocks
    # Nothing was asked for in vain.
    assert [1 << order for order in allocator.asked] == blocks


def test_an_order_that_fails_is_tried_one_lower_and_again_for_the_rest():
    allocator = Orders(max_order=1)
    assert sizes(deposit_call(allocator, 7)) == [2, 2, 2, 1]
    assert allocator.asked == [2, 1, 2, 1, 1, 0]


def test_a_fragmented_allocator_still_gives_page_by_page():
    allocator = Orders(max_order=0)
    assert sizes(deposit_call(allocator, 511)) == [1] * 511


@pytest.mark.parametrize("nr_pages", [-1, 512])
def test_a_call_beyond_its_limit_is_refused_before_anything_is_allocated(nr_pages):
    allocator = Orders(max_order=10)
    with pytest.raises(InputError, match="the limit is 0x1ff"):
        deposit_call(allocator, nr_pages)
    assert allocator.asked == []


def test_a_call_for_nothing_does_nothing():
    allocator = Orders(max_order=10)
    assert deposit_call(allocator, 0, hypercall=lambda _: False) == ()
    assert allocator.asked == []


def test_pages_go_back_when_the_last_one_cannot_be_had():
    allocator = Orders(max_order=10, nr_pages=510)
    with pytest.raises(CapacityError, match="no page is left: 0x1 more are wanted"):
        deposit_call(allocator, 511)
    assert allocator.left == 510
    assert sum(count for _, count in allocator.back) == 510
    assert sizes(deposit_call(allocator, 510)) == [256, 128, 64, 32, 16, 8, 4, 2]


def test_pages_go_back_when_the_hypervisor_refuses():
    pool = free_pool((0x100, 0x200))
    before = pool.copy()
    with pytest.raises(CapacityError, match="refuses 0x64 pages for owner 0x7"):
        deposit_call(pool, 100, 7, hypercall=lambda _: False)
    assert pool == before


def test_the_hypervisor_sees_all_pages_of_a_call_at_once():
    seen = []
    taken = deposit_call(
        Orders(max_order=4), 50, 7, hypercall=lambda pages: seen.append(pages) is None
    )
    assert seen == [taken]
    assert {one.owner for one in taken} == {7}


def test_any_number_of_pages_is_deposited_or_none():
    pool = free_pool((0x100, 0x500), (0x800, 0xA00))
    before = pool.copy()
    with pytest.raises(CapacityError, match="no page is left"):
        deposit_pages(pool, 0x601)
    assert pool == before
    taken = deposit_pages(pool, 0x600, 9)
    assert not pool.free
    assert DepositLedger(taken) == pool.ledger()


def test_calls_that_were_done_are_undone_when_a_later_one_fails():
    pool = free_pool((0x100, 0x500))
    before, calls = pool.copy(), []
    with pytest.raises(CapacityError, match="refuses"):
        deposit_pages(
            pool, 600, hypercall=lambda p: not calls.append(p) and len(calls) < 2
        )
    assert [sum(sizes(call)) for call in calls] == [511, 89]
    assert pool == before


@pytest.mark.parametrize("owner", [-1, 1 << 64, FREE_OWNER])
def test_a_bad_owner_costs_no_page_of_an_allocator_that_knows_none(owner):
    region = PmpoolRegion(PmpoolOption.of_pages(0x1000, 512))
    with pytest.raises(InputError, match="owner"):
        deposit_pages(region, 4, owner)
    assert region.nr_used == 1


def test_a_pool_gives_its_largest_blocks_first():
    taken = deposit_pages(free_pool((0x100, 0x200)), 0xFF)
    assert sizes(taken) == [128, 64, 32, 16, 8, 4, 2, 1]
    assert {one.owner for one in taken} == {0}


def test_no_pages_at_all_are_deposited_without_a_call():
    assert deposit_pages(Orders(max_order=0), 0, hypercall=lambda _: False) == ()


def test_a_negative_number_of_pages_is_refused():
    with pytest.raises(InputError, match="the limit is 0"):
        deposit_pages(Orders(max_order=0), -1)


def test_a_retried_hypercall_deposits_one_page_each_time():
    allocator, answers = Orders(max_order=10), iter([False, False, False, True])
    outcome = deposit_until(
        allocator, lambda: next(answers), 7, first_pages=PAGES_BEFORE_VP
    )
    assert outcome.done
    assert sizes(outcome.deposits) == [64, 16, 8, 2, 1, 1, 1]
    assert {one.owner for one in outcome.deposits} == {7}


def test_a_hypercall_that_has_enough_memory_costs_nothing():
    outcome = deposit_until(Orders(max_order=0), lambda: True)
    assert (outcome.done, outcome.deposits) == (True, ())


def test_what_was_deposited_on_the_way_stays_when_memory_ends():
    allocator = Orders(max_order=10, nr_pages=92)
    outcome = deposit_until(allocator, lambda: False, first_pages=PAGES_BEFORE_VP)
    assert not outcome.done
    assert sum(sizes(outcome.deposits)) == 92
    assert allocator.back == []


def test_nothing_is_attempted_when_the_first_pages_cannot_be_had():
    allocator, attempts = Orders(max_order=10, nr_pages=89), []
    outcome = deposit_until(
        allocator, lambda: attempts.append(1) or True, first_pages=PAGES_BEFORE_VP
    )
    assert (outcome.done, outcome.deposits, attempts) == (False, (), [])
    assert allocator.left == 89


def test_withdrawn_pages_go_back_one_by_one():
    allocator = Orders(max_order=10)
    count = withdraw_pages(allocator, ExtentSet([(0x10, 0x12), (0x20, 0x21)]))
    assert count == 3
    assert allocator.back == [(0x10, 1), (0x11, 1), (0x20, 1)]


def test_nothing_goes_back_when_one_page_is_not_in_use():
    pool = free_pool((0x100, 0x110))
    deposit_pages(pool, 4)
    before = pool.copy()
    with pytest.raises(InputError, match=r"PFNs \[0x106, 0x107\) are not all in use"):
        withdraw_pages(pool, ExtentSet([(0x100, 0x102), (0x106, 0x107)]))
    assert pool == before


def test_a_region_serves_the_depositor_as_a_pool_does():
    region = PmpoolRegion(PmpoolOption.of_pages(0x1000, 512))
    taken = deposit_pages(region, 511, 7)
    assert taken[0].start_pfn == 0x1001
    assert region.alloc(1) is None
    withdraw_pages(region, DepositLedger(taken).extents)
    assert region.nr_used == 1
