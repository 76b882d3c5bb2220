"""Simulations: reproducible, complete, and each limit at its call."""

from dataclasses import replace

import pytest

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.compat import judge
from e820pool.deposits import DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.encodings import encoding_named
from e820pool.kernel.early_boot import predict
from e820pool.kernel.early_memory import fragments_with_tables
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap
from e820pool.stress.entries import EntryCount
from e820pool.stress.host import generated_map
from e820pool.stress.limits import LIMITS, Demand, Sample, table_demand
from e820pool.stress.policies import DEFAULT_POLICIES
from e820pool.stress.simulate import simulate
from e820pool.stress.watch import LimitWatch
from e820pool.stress.workload import Workload

MAP = generated_map(16 << 30)
WORK = Workload(guests=12, days=2, lifetime_days=1)


def run(policy="scattered", workload=WORK, **options):
    return simulate(MAP, workload, policy, **options)


@pytest.mark.parametrize("policy", DEFAULT_POLICIES)
def test_the_same_arguments_give_the_same_outcome(policy):
    one, two = (run(policy, seed=4) for _ in range(2))
    assert one == two
    assert one.reserved == two.reserved


def test_seeds_differ():
    assert run(seed=1) != run(seed=2)


def test_policies_meet_the_same_guests():
    created = {run(policy).samples[-1].created for policy in DEFAULT_POLICIES[:3]}
    assert len(created) == 1


@pytest.mark.parametrize("policy", ["scattered", "top-down", "arenas:2M"])
@pytest.mark.parametrize("encoding", ["split", "hybrid"])
def test_the_last_sample_counts_the_table_of_the_end(policy, encoding):
    outcome = run(policy, encoding=encoding)
    ledger = DepositLedger.of_ranges(outcome.reserved.to_bytes())
    table = encoding_named(encoding).make_table(MAP, ledger)
    assert getattr(outcome.samples[-1], encoding) == table.size


def test_limits_fall_in_the_order_of_what_they_count():
    outcome = run()
    falls = {fall.limit: fall.sample.call for fall in outcome.falls}
    assert falls["kaslr-memmap"] <= falls["zero-page"] <= falls["table-320"]
    for fall in outcome.falls:
        limit = next(one for one in LIMITS if one.name == fall.limit)
        assert fall.value > limit.most


def fall_of(outcome, limit):
    return next((fall for fall in outcome.falls if fall.limit == limit), None)


@pytest.mark.parametrize("limit", ["zero-page", "table-320"])
def test_one_call_before_a_limit_falls_it_stands(limit):
    fall = fall_of(run(), limit)
    before = run(workload=replace(WORK, max_calls=fall.sample.call - 1))
    at = run(workload=replace(WORK, max_calls=fall.sample.call))
    assert fall_of(before, limit) is None
    assert fall_of(at, limit) == fall


def test_the_length_of_memmap_is_exact_where_it_falls():
    fall = fall_of(run(workload=Workload(guests=12, days=2)), "memmap-cmdline")
    assert 2047 < fall.value < 2047 + 28 * 9


def test_a_table_of_ram_runs_beyond_what_kaslr_looks_at_is_seen():
    # Large runs of RAM between bare deposits: only hybrid has 100 in a zero page.
    workload = Workload(guests=8, days=1, vps=32, retries=4, guest_ram_share=0.01)
    big = generated_map(4 << 40)
    split, hybrid = (
        simulate(big, workload, "scattered", encoding=encoding, wear="worn")
        for encoding in ("split", "hybrid")
    )
    assert fall_of(split, "kaslr-slots") is None
    assert fall_of(hybrid, "kaslr-slots") is not None


def test_everything_comes_back_when_all_guests_are_gone():
    short = Workload(guests=6, days=30, lifetime_days=0.01, max_calls=3000)
    outcome = run(workload=short)
    assert outcome.samples[-1].deposited_pages <= 6 * 2000
    assert outcome.failed_calls == outcome.failed_guests == 0


def test_a_host_without_pages_counts_what_failed():
    outcome = run("cma:1x1M")
    assert outcome.failed_calls > 0
    assert outcome.samples[-1].deposited_pages <= 256


def test_guests_that_the_host_has_no_memory_for_are_counted():
    outcome = run(workload=replace(WORK, guest_ram_share=1.0), wear="worn")
    assert outcome.failed_guests > 0


def test_a_policy_that_cannot_be_set_up_says_why():
    outcome = run("cma:64x1G")
    assert "no room for area" in outcome.reason
    assert outcome.samples == ()


def test_withdrawals_page_by_page_fragment_a_pool():
    trims = replace(WORK, trims_per_day=2.0)
    assert run("arenas:1G", trims).peak.split == run("arenas:1G").peak.split
    assert run("top-down", trims).peak.split > 4 * run("top-down").peak.split


def test_an_encoding_that_is_not_counted_is_refused():
    with pytest.raises(InputError, match="not one of: split, hybrid"):
        run(encoding="overlay")


def test_progress_goes_from_nothing_to_all():
    seen = []
    run(progress=seen.append)
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] <= 1


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_a_limit_holds_up_to_its_value_and_falls_above(limit):
    below = Demand(*[0] * len(Demand._fields))
    at, above = (
        below._replace(**{limit.measure: limit.most + more}) for more in (0, 1)
    )
    assert limit.is_within(below)
    assert limit.is_within(at)
    assert not limit.is_within(above)


def test_the_last_entry_that_a_zero_page_holds_fits_the_smallest_kernel():
    assert table_demand(128) == 131
    assert table_demand(129) == 134


def test_peaks_are_samples_with_the_most_entries():
    outcome = run()
    assert outcome.peak.split >= max(sample.split for sample in outcome.samples)


def test_ram_is_left_at_the_end():
    outcome = run()
    table = encoding_named("split").make_table(
        MAP, DepositLedger.of_ranges(outcome.reserved.to_bytes())
    )
    assert (table["type"] == E820_TYPE_RAM).sum() > 1


@pytest.mark.parametrize(("count", "falls"), [(100, False), (101, True)])
def test_fragments_at_the_top_are_those_that_a_kernel_maps(count, falls):
    """A deposit in each of the highest 2 MiB, and one far below that is none."""
    rows = [(0, 0x9F000, 1), (1 << 20, 1 << 30, 1), (4 << 30, 4 << 30, 1)]
    memory_map = MemoryMap.of(rows)
    entries = EntryCount(memory_map)
    entries.add(0x200, 0x201)
    top = (8 << 30) >> 12
    for at in range(count):
        entries.add(top - 512 * at - 256, top - 512 * at - 255)
    watch = LimitWatch(memory_map, entries, "split")
    watch.look_closely(Sample(1, 0.0, 1, 1, 1, 1, 1, entries.split, entries.hybrid))
    assert any(fall.limit == "fragments" for fall in watch.falls) is falls
    ledger = DepositLedger.of_ranges(entries.extents().to_bytes())
    view = predict(build_handoff(memory_map, ledger), profile_for("6.1"))
    assert fragments_with_tables(view.memory, ByteRangeSet()) == count


def test_ram_without_a_whole_large_page_has_no_top():
    memory_map = MemoryMap.of([(0, 0x9F000, 1), (1 << 20, 1 << 19, 1)])
    watch = LimitWatch(memory_map, EntryCount(memory_map), "split")
    watch.look_closely(Sample(*[0] * len(Sample._fields)))
    assert watch.falls == []


def test_a_capture_table_is_full_where_check_says_so():
    """Types that it does not have, page 0 and RAM below 1 MiB are counted alike."""
    rows = [
        (0, 0x8000, 1),
        (0x9000, 0x96000, 1),
        (0x9F000, 0x61000, 2),
        (1 << 20, 1 << 30, 1),
        (2 << 30, 1 << 20, 3),
        (2 << 30 | 1 << 20, 1 << 20, 4),
        (3 << 30, 1 << 20, 5),
        (4 << 30, 4 << 30, 1),
    ]
    memory_map = MemoryMap.of(rows)
    entries = EntryCount(memory_map)
    watch = LimitWatch(memory_map, entries, "split")
    options = BuildOptions(cmdline="crashkernel=256M")
    for at in range(140):
        first = (5 << 30 >> 12) + 16 * at
        entries.add(first, first + 1)
        watch.look(Sample(1, 0.0, at, 1, 1, 1, 1, entries.split, entries.hybrid))
        if not 115 <= at <= 125:
            continue
        ledger = DepositLedger.of_ranges(entries.extents().to_bytes())
        handoff = build_handoff(memory_map, ledger, options)
        ids = [one.id for one in judge(handoff, profile_for("6.1")).findings]
        falls = any(fall.limit == "capture-table" for fall in watch.falls)
        assert falls is ("capture-table-full" in ids), at
    (fall,) = (one for one in watch.falls if one.limit == "capture-table")
    assert fall.value == 128
