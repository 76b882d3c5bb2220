"""Chains of kexecs: rebuild, change the pool, build the next handoff, boot, again."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from rivals.depositor import deposit_pages

from e820pool.deposits import Deposit, DepositLedger
from e820pool.extents import ExtentSet
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap
from e820pool.pool.claims import FREE_OWNER, firmware_map_before
from e820pool.pool.pool import Pool
from e820pool.pool.rebuild import rebuild

PAGE = 4096
KERNELS = ("5.10", "6.1", "6.12", "7.3")
# Room for the parts below, room for deposits above.
FIRMWARE = MemoryMap.of(
    [
        (0x0, 0x9FC00, 1),
        (0x9FC00, 0x400, 2),
        (0xF0000, 0x10000, 2),
        (0x100000, 0x3FF00000, 1),
        (0x40000000, 0x8000, 3),
        (0x1_0000_0000, 0x800000, 1),
        (0x1_0080_0000, 0x1000, 2),
        (0x1_0080_1000, 0x7FF000, 1),
    ]
)
# Pages from which deposits are made: across the RESERVED page, and beyond RAM.
HIGH = (0x100000, 0x101000)


def boot(firmware, pool, release, generation):
    """Build the handoff for the pool and boot a kernel on it."""
    options = BuildOptions(generation=generation)
    handoff = build_handoff(firmware, pool.ledger(), options)
    return handoff, predict(handoff, profile_for(release))


class ChainMachine(RuleBasedStateMachine):
    """Whatever happens to a pool between kexecs, the next kernel gets just that."""

    @initialize(kernels=st.lists(st.sampled_from(KERNELS), min_size=1))
    def first_boot(self, kernels):
        self.kernels, self.hop = kernels, 0
        self.pool = Pool()
        self.ram = FIRMWARE.ram_pages()
        self.hypervisor = set()

    def fresh(self, base_pfn, count):
        return (
            ExtentSet([(base_pfn, base_pfn + count)]) & self.ram
        ) - self.pool.extents

    @rule(
        base_pfn=st.integers(*HIGH), count=st.integers(1, 200), owner=st.integers(0, 3)
    )
    def deposit_from_the_kernels_memory(self, base_pfn, count, owner):
        owner = FREE_OWNER if owner == 3 else owner
        fresh = self.fresh(base_pfn, count)
        self.pool.deposit(
            Deposit(start_pfn=start, end_pfn=end, owner=owner) for start, end in fresh
        )

    @rule(count=st.integers(1, 64), owner=st.integers(0, 2))
    def deposit_from_the_pool(self, count, owner):
        assume(self.pool.free.nr_pages >= count)
        deposit_pages(self.pool, count, owner)

    @precondition(lambda self: self.pool.used)
    @rule(data=st.data())
    def release(self, data):
        start, end = data.draw(st.sampled_from(list(self.pool.used)))
        first = data.draw(st.integers(start, end - 1))
        assert self.pool.release(first, data.draw(st.integers(1, end - first)))

    @precondition(lambda self: self.pool.free)
    @rule(data=st.data())
    def withdraw(self, data):
        start, end = data.draw(st.sampled_from(list(self.pool.free)))
        first = data.draw(st.integers(start, end - 1))
        pages = ExtentSet([(first, data.draw(st.integers(first + 1, end)))])
        for one in self.pool.withdraw(pages):
            assert one.firmware_type == 1

    @rule(hops=st.integers(1, 3), from_copy=st.booleans())
    def kexec(self, hops, from_copy):
        """Several kexecs in a row: the table must not grow by itself."""
        firmware, sizes = FIRMWARE, set()
        ledger = self.pool.ledger()
        for _ in range(hops):
            self.hop += 1
            release = self.kernels[self.hop % len(self.kernels)]
            handoff, view = boot(firmware, self.pool, release, self.hop)
            sizes.add(len(handoff.table))
            self.check_boot(view, ledger)
            if from_copy:
                copy = MemoryMap.of(view.firmware_map)
                firmware = firmware_map_before(copy, ledger)
                assert firmware == FIRMWARE.flatten()
            result = rebuild(
                view,
                handoff.record_bytes(),
                firmware if len(ledger) else None,
                expected_generation=self.hop,
            )
            if not len(ledger):
                assert [f.id for f in result.findings] == ["record-missing"]
                continue
            assert result.findings == ()
            assert result.ledger == ledger
            assert result.generation == self.hop
            self.pool = result.pool
        assert len(sizes) == 1

    def check_boot(self, view, ledger):
        """Deposits are kept; what is no deposit has the firmware's own type."""
        assert view.fatal is None
        assert not view.usable_pages() & ledger.extents
        memory = view.usable_pages()
        high = ExtentSet([(0x100, 1 << 40)])
        assert memory & high == (self.ram & high) - ledger.extents


TestChain = ChainMachine.TestCase
TestChain.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@given(st.lists(st.tuples(st.integers(*HIGH), st.integers(1, 40)), max_size=40))
@settings(max_examples=25)
def test_constant_deposits_give_the_same_table_at_every_hop(runs):
    wanted = ExtentSet((first, first + count) for first, count in runs)
    ledger = DepositLedger(
        Deposit(start_pfn=start, end_pfn=end, owner=start % 3)
        for start, end in wanted & FIRMWARE.ram_pages()
    )
    assume(len(ledger))
    tables, pool = [], Pool(ledger)
    for hop in range(1, 5):
        handoff, view = boot(FIRMWARE, pool, KERNELS[hop % 4], hop)
        tables.append(handoff.table.rows())
        pool = rebuild(view, handoff.record_bytes(), FIRMWARE).pool
        assert pool.ledger() == ledger
    assert all(table == tables[0] for table in tables)


@given(
    st.lists(
        st.tuples(st.integers(*HIGH), st.integers(1, 40)), min_size=1, max_size=12
    ),
    st.data(),
)
@settings(max_examples=25)
def test_any_deposited_page_that_is_ram_refuses_the_whole_pool(runs, data):
    wanted = ExtentSet((first, first + count) for first, count in runs)
    wanted = wanted & FIRMWARE.ram_pages()
    assume(wanted)
    pool = Pool(DepositLedger(Deposit(start_pfn=s, end_pfn=e) for s, e in wanted))
    handoff, view = boot(FIRMWARE, pool, "6.1", 1)
    start, end = data.draw(st.sampled_from(list(wanted)))
    pfn = data.draw(st.integers(start, end - 1))
    table = MemoryMap.of(view.table).flatten()
    page = ExtentSet([(pfn, pfn + 1)]).to_bytes()
    rows = [(pfn * PAGE, PAGE, 1)]
    for kind in set(table.entries["type"].tolist()):
        rows += [(s, e - s, kind) for s, e in table.bytes_of(kind) - page]
    for record in (handoff.record_bytes(), None):
        result = rebuild(rows, record, FIRMWARE)
        if record is None:
            # It cannot be missed: the page is RAM as it was before.
            assert result.ledger is None or not result.ledger.extents.overlaps(
                pfn, pfn + 1
            )
            continue
        assert result.pool is None
        assert [f.id for f in result.findings] == ["extent-is-ram"]
        assert result.findings[0].extents == ((pfn, pfn + 1),)


@given(
    st.lists(
        st.tuples(st.integers(*HIGH), st.integers(1, 40)), min_size=1, max_size=12
    ),
    st.sampled_from(KERNELS),
)
@settings(max_examples=25)
def test_without_the_record_the_same_pages_are_inferred(runs, release):
    wanted = ExtentSet((first, first + count) for first, count in runs)
    wanted = wanted & FIRMWARE.ram_pages()
    assume(wanted)
    pool = Pool(DepositLedger(Deposit(start_pfn=s, end_pfn=e) for s, e in wanted))
    _, view = boot(FIRMWARE, pool, release, 1)
    result = rebuild(view, None, FIRMWARE)
    assert [f.id for f in result.findings] == ["inferred"]
    assert result.pool == pool
