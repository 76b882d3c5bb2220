"""State machines: region and pool against a plain set of pages."""

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from rivals.depositor import deposit_pages
from rivals.region import PmpoolRegion

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import CapacityError, InputError
from e820pool.extents import ExtentSet
from e820pool.pool.claims import FREE_OWNER
from e820pool.pool.option import PmpoolOption
from e820pool.pool.pool import Pool

PFNS = st.integers(0, 220)
COUNTS = st.integers(0, 24)
ORDERS = st.integers(0, 5)
OWNERS = st.integers(0, 3)


def lowest_fit(free, count, order):
    """The definition of first fit, tried page by page."""
    for pfn in sorted(free):
        if pfn % (1 << order) == 0 and all(pfn + at in free for at in range(count)):
            return pfn
    return None


class RegionMachine(RuleBasedStateMachine):
    """A region behaves as a set of used pages, across any number of kexecs."""

    @initialize(base_pfn=st.integers(1, 40), nr_pages=st.integers(1, 150))
    def begin(self, base_pfn, nr_pages):
        self.option = PmpoolOption.of_pages(base_pfn, nr_pages)
        self.region = PmpoolRegion(self.option)
        self.pages = set(range(base_pfn, base_pfn + nr_pages))
        self.used = {base_pfn}

    @rule(count=COUNTS, order=ORDERS)
    def alloc(self, count, order):
        expected = lowest_fit(self.pages - self.used, count, order) if count else None
        assert self.region.alloc(count, order) == expected
        if expected is not None:
            self.used |= set(range(expected, expected + count))

    @rule(base_pfn=PFNS, count=COUNTS)
    def release(self, base_pfn, count):
        asked = set(range(base_pfn, base_pfn + count))
        try:
            released = self.region.release(base_pfn, count)
        except InputError:
            assert asked <= self.pages
            assert not asked <= self.used - {self.option.base_pfn}
        else:
            assert released == (base_pfn in self.pages and asked <= self.pages)
            self.used -= asked if released else set()

    @rule(count=st.integers(1, 60))
    def deposit(self, count):
        before = self.region.encode_bitmap()
        try:
            taken = deposit_pages(self.region, count)
        except CapacityError:
            assert count > len(self.pages - self.used)
            assert self.region.encode_bitmap() == before
        else:
            pages = {p for d in taken for p in range(d.start_pfn, d.end_pfn)}
            assert len(pages) == count
            assert not pages & self.used
            self.used |= pages

    @rule()
    def kexec(self):
        state = self.region.encode_bitmap()
        self.region = PmpoolRegion(self.option)
        self.region.restore(self.option.base_addr, self.option.size, state)

    @invariant()
    def the_bits_are_the_pages(self):
        if not hasattr(self, "region"):
            return
        bits = int.from_bytes(self.region.encode_bitmap(), "little")
        expected = sum(1 << (pfn - self.option.base_pfn) for pfn in self.used)
        assert bits == expected


class PoolMachine(RuleBasedStateMachine):
    """A pool behaves as a mapping from pages to owners."""

    def __init__(self):
        super().__init__()
        self.pool = Pool()
        self.owners = {}

    def free(self):
        return {pfn for pfn, owner in self.owners.items() if owner == FREE_OWNER}

    @rule(base_pfn=PFNS, count=st.integers(1, 24), owner=OWNERS | st.just(FREE_OWNER))
    def deposit(self, base_pfn, count, owner):
        pages = set(range(base_pfn, base_pfn + count))
        one = Deposit(start_pfn=base_pfn, end_pfn=base_pfn + count, owner=owner)
        try:
            self.pool.deposit([one])
        except InputError:
            assert pages & set(self.owners)
        else:
            assert not pages & set(self.owners)
            self.owners |= dict.fromkeys(pages, owner)

    @rule(count=COUNTS, order=ORDERS, owner=OWNERS)
    def alloc(self, count, order, owner):
        expected = lowest_fit(self.free(), count, order) if count else None
        assert self.pool.alloc(count, order, owner=owner) == expected
        if expected is not None:
            self.owners |= dict.fromkeys(range(expected, expected + count), owner)

    @rule(base_pfn=PFNS, count=COUNTS)
    def release(self, base_pfn, count):
        pages = set(range(base_pfn, base_pfn + count))
        try:
            released = self.pool.release(base_pfn, count)
        except InputError:
            assert pages & self.free()
        else:
            assert released == (base_pfn in self.owners and pages <= set(self.owners))
            if released:
                self.owners |= dict.fromkeys(pages, FREE_OWNER)

    @rule(runs=st.lists(st.tuples(PFNS, st.integers(1, 12)), max_size=3))
    def withdraw(self, runs):
        extents = ExtentSet((first, first + count) for first, count in runs)
        pages = {pfn for start, end in extents for pfn in range(start, end)}
        try:
            left = self.pool.withdraw(extents)
        except InputError:
            assert not pages <= self.free()
        else:
            assert pages <= self.free()
            assert DepositLedger(left).extents == extents
            for pfn in pages:
                del self.owners[pfn]

    @rule(count=st.integers(1, 40), owner=OWNERS)
    def fill(self, count, owner):
        before = self.pool.copy()
        try:
            taken = deposit_pages(self.pool, count, owner)
        except CapacityError:
            assert count > len(self.free())
            assert self.pool == before
        else:
            pages = {p for d in taken for p in range(d.start_pfn, d.end_pfn)}
            assert pages <= self.free()
            self.owners |= dict.fromkeys(pages, owner)

    @precondition(lambda self: self.owners)
    @rule()
    def kexec(self):
        self.pool = Pool(self.pool.ledger())

    @invariant()
    def the_ledger_is_the_mapping(self):
        ledger = self.pool.ledger()
        said = {p: d.owner for d in ledger for p in range(d.start_pfn, d.end_pfn)}
        assert said == self.owners
        assert self.pool.free.nr_pages == len(self.free())
        assert self.pool.used.nr_pages == len(self.owners) - len(self.free())

    @invariant()
    def equal_neighbours_are_one_run(self):
        runs = [(d.start_pfn, d.end_pfn, d.owner) for d in self.pool.ledger()]
        assert not any(
            one[1] == two[0] and one[2] == two[2] for one, two in pairwise(runs)
        )


TestRegion = RegionMachine.TestCase
TestPool = PoolMachine.TestCase
TestRegion.settings = TestPool.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None
)
