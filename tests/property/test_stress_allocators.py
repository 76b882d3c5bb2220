"""The run allocators against sets of pages, block by block."""

from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from rivals.depositor import deposit_call

from e820pool.errors import CapacityError
from e820pool.stress.buddy import Buddy
from e820pool.stress.ordered import AddressOrdered
from e820pool.stress.policies import deposit_extents

# A small highest order, so that whole runs of it are a few pages.
ORDER = 3
SPAN = 96

runs = st.lists(
    st.tuples(st.integers(0, SPAN), st.integers(1, 40)), min_size=1, max_size=4
)


def canonical_blocks(pages, max_order):
    """Return the blocks of a buddy system with these free pages."""
    blocks, rest = set(), set(pages)
    for order in reversed(range(max_order + 1)):
        size = 1 << order
        for start in range(0, max(rest, default=0) + 1, size):
            block = range(start, start + size)
            if rest.issuperset(block):
                blocks.add((start, order))
                rest.difference_update(block)
    return blocks


def pages_of(blocks):
    return {p for start, order in blocks for p in range(start, start + (1 << order))}


class Machine(RuleBasedStateMachine):
    """Allocate and free; a set of free pages says what must be there."""

    make = Buddy

    def __init__(self):
        super().__init__()
        self.buddy, self.free = self.make(ORDER), set()
        self.held = []

    @rule(start=st.integers(0, SPAN), count=st.integers(1, 40))
    def free_pages_that_nobody_has(self, start, count):
        held = {p for block in self.held for p in range(*block)}
        wanted = set(range(start, start + count)) - self.free - held
        for page in sorted(wanted):
            self.buddy.free(page, page + 1)
        self.free |= wanted

    @rule(order=st.integers(0, ORDER))
    def allocate(self, order):
        sizes = [have for _, have in canonical_blocks(self.free, ORDER)]
        start = self.buddy.alloc_order(order)
        if start is None:
            assert max(sizes, default=-1) < order
            return
        pages = set(range(start, start + (1 << order)))
        assert start % (1 << order) == 0
        assert pages <= self.free
        self.free -= pages
        self.held.append((start, start + (1 << order)))

    @rule(nr_blocks=st.integers(1, 6))
    def take_runs(self, nr_blocks):
        whole = [at for at, have in canonical_blocks(self.free, ORDER) if have == ORDER]
        taken = self.buddy.take_run(nr_blocks)
        pages = {p for start, end in taken for p in range(start, end)}
        assert len(pages) == min(nr_blocks, len(whole)) << ORDER
        assert pages <= self.free
        self.free -= pages
        self.held += taken

    @rule(order=st.integers(ORDER + 1, ORDER + 2))
    def take_contiguous_pages(self, order):
        size = 1 << order
        fits = [
            at
            for at in range(0, 4 * SPAN, size)
            if self.free.issuperset(range(at, at + size))
        ]
        start = self.buddy.take_aligned(order)
        assert start == (fits[0] if fits else None)
        if start is not None:
            self.free -= set(range(start, start + size))
            self.held.append((start, start + size))

    @rule(start=st.integers(0, SPAN), count=st.integers(1, 40))
    def take_a_span(self, start, count):
        span = set(range(start, start + count))
        assert self.buddy.take_span(start, start + count) is (span <= self.free)
        if span <= self.free:
            self.free -= span
            self.held.append((start, start + count))

    @rule(count=st.integers(1, 40))
    def take_small_blocks(self, count):
        sizes = [have for _, have in canonical_blocks(self.free, ORDER)]
        small = sum(1 << have for have in sizes if have < ORDER)
        taken = self.buddy.take_small(count)
        pages = {p for start, end in taken for p in range(start, end)}
        assert len(pages) == min(count, small)
        assert pages <= self.free
        self.free -= pages
        self.held += taken

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def free_a_run(self, data):
        start, end = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        assert self.buddy.release(start, end - start)
        self.free |= set(range(start, end))

    @invariant()
    def the_free_blocks_are_those_of_page_by_page(self):
        assert set(self.buddy.free_blocks()) == canonical_blocks(self.free, ORDER)
        assert self.buddy.nr_free == len(self.free)

    @invariant()
    def the_counts_are_those_of_the_blocks(self):
        orders = [order for _, order in self.buddy.free_blocks()]
        assert self.buddy.counts() == tuple(map(orders.count, range(ORDER + 1)))


class LowestMachine(Machine):
    """The same laws hold whichever block goes first."""

    make = AddressOrdered

    @rule(order=st.integers(0, ORDER))
    def the_lowest_fit_goes_first(self, order):
        fits = [at for at, have in canonical_blocks(self.free, ORDER) if have >= order]
        start = self.buddy.alloc_order(order)
        assert start == min(fits, default=None)
        if start is not None:
            self.buddy.free(start, start + (1 << order))


class HighestMachine(Machine):
    """The same laws hold from the top down."""

    make = staticmethod(lambda order: AddressOrdered(order, highest=True))

    @rule(order=st.integers(0, ORDER))
    def the_highest_fit_goes_first(self, order):
        fits = [
            at + (1 << have) - (1 << order)
            for at, have in canonical_blocks(self.free, ORDER)
            if have >= order
        ]
        start = self.buddy.alloc_order(order)
        assert start == max(fits, default=None)
        if start is not None:
            self.buddy.free(start, start + (1 << order))


TestBuddy = Machine.TestCase
TestLowest = LowestMachine.TestCase
TestHighest = HighestMachine.TestCase


class Recorder:
    """A source that remembers what is deposited."""

    def __init__(self, free):
        self.buddy, self.seen = Buddy(4), []
        for start, count in free:
            for page in set(range(start, start + count)) - pages_of(
                self.buddy.free_blocks()
            ):
                self.buddy.free(page, page + 1)

    def alloc_order(self, order, _=0):
        return self.buddy.alloc_order(order)

    def alloc(self, nr_pages, *, owner):  # noqa: ARG002  a kernel asks for nobody
        return self.buddy.alloc_order(nr_pages.bit_length() - 1)

    def deposited(self, extents):
        self.seen += extents

    def give_back(self, start, end):
        self.buddy.free(start, end)

    def release(self, base, count):
        return self.buddy.release(base, count)


@given(runs, st.lists(st.integers(1, 60), max_size=5))
@example([(1, 2)], [3, 1])  # what is given back is taken again in the same order
def test_a_call_deposits_what_the_drivers_pattern_does(free, calls):
    fast, plain = Recorder(free), Recorder(free)
    for nr_pages in calls:
        found = deposit_extents(fast, nr_pages)
        try:
            told = deposit_call(plain, nr_pages)
        except CapacityError:
            told = None
        if told is None:
            assert found is None
        else:
            want = {p for one in told for p in range(one.start_pfn, one.end_pfn)}
            assert {p for start, end in found for p in range(start, end)} == want
            assert sum(end - start for start, end in found) == nr_pages
        assert set(fast.buddy.free_blocks()) == set(plain.buddy.free_blocks())
