"""Policies: where pages are from, and what of it is kept from the next kernel."""

import pytest

from e820pool.errors import CapacityError, InputError
from e820pool.stress.draws import Draws
from e820pool.stress.entries import EntryCount
from e820pool.stress.host import HostPages, generated_map, zones_of
from e820pool.stress.policies import DEFAULT_POLICIES, deposit_extents, parse_policy

GIB = 1 << 30
MIB_PAGES = 256
MAP = generated_map(16 * GIB)


class Bench:
    """A host, its count of entries, and one policy's source."""

    def __init__(self, policy, wear="fresh"):
        self.policy = parse_policy(policy)
        zones = zones_of(MAP, 1)
        self.host = HostPages(zones, self.policy.make_buddy)
        self.host.fill(zones, wear, (), Draws(1))
        self.count = EntryCount(MAP)
        self.base = self.count.split
        self.source = self.policy.make_source(self.host, self.count)
        self.free = self.host.nr_free


@pytest.mark.parametrize("policy", DEFAULT_POLICIES[:3])
def test_direct_policies_reserve_what_is_deposited(policy):
    bench = Bench(policy, "used")
    extents = deposit_extents(bench.source, 300)
    assert bench.count.nr_pages == 300
    assert bench.host.nr_free == bench.free - 300
    for extent in extents:
        bench.source.withdrawn(*extent)
    assert (bench.count.nr_pages, bench.count.split) == (0, bench.base)
    assert bench.host.nr_free == bench.free


def test_deposits_from_the_top_down_are_one_run():
    bench = Bench("top-down")
    extents = [one for _ in range(9) for one in deposit_extents(bench.source, 511)]
    assert bench.count.nr_runs == 1
    assert max(end for _, end in extents) > 0.95 * int(MAP.ram_pages().ends[-1])


def test_scattered_single_pages_cost_two_entries_each():
    bench = Bench("scattered", "used")
    for _ in range(40):
        deposit_extents(bench.source, 1)
    assert bench.count.split == bench.base + 2 * 40


def test_areas_of_cma_are_reserved_from_boot_on():
    bench = Bench("cma:4x64M")
    assert bench.count.nr_pages == 4 * 64 * MIB_PAGES
    entries = bench.count.split
    while deposit_extents(bench.source, 511) is not None:
        pass
    assert bench.count.split == entries
    assert bench.source.alloc_order(9, 0) is None


def test_cma_without_room_for_its_areas_says_so():
    with pytest.raises(CapacityError, match=r"no room for area \d+ of 19"):
        Bench("cma:19x1G")


def test_an_arena_is_taken_when_needed_and_given_back_when_empty():
    bench = Bench("arenas:2M")
    first = deposit_extents(bench.source, 511)
    assert bench.count.nr_pages == 512
    second = deposit_extents(bench.source, 2)
    assert bench.count.nr_pages == 1024
    for start, end in first:
        bench.source.withdrawn(start, end)
    for start, end in second:
        for pfn in range(start, end):
            bench.source.withdrawn_page(start, end, pfn)
    assert bench.count.nr_pages == 0
    assert bench.host.nr_free == bench.free


def test_an_order_above_an_arenas_is_split():
    bench = Bench("arenas:64K")
    extents = deposit_extents(bench.source, 40)
    assert sum(end - start for start, end in extents) == 40
    assert bench.count.nr_pages == 48


def arenas_of(bench):
    return [(start, end - start) for start, end in bench.count.extents()]


def test_a_grown_arena_is_one_run_that_follows_what_is_deposited():
    bench = Bench("grown:2M-1G")
    extents = []
    for nr_calls in range(1, 200):
        extents += deposit_extents(bench.source, 511)
        assert bench.count.nr_runs == 1
        # A chunk is a quarter of what is there, and of one step at least.
        assert bench.count.nr_pages <= max(511 * nr_calls * 5 // 3, 1024)
    for start, end in extents:
        bench.source.withdrawn(start, end)
    assert (bench.count.nr_pages, bench.count.split) == (0, bench.base)
    assert bench.host.nr_free == bench.free


def test_an_arena_that_cannot_grow_where_it_lies_has_a_larger_one_beside_it():
    bench = Bench("grown:2M-1G")
    deposit_extents(bench.source, 511)
    ((start, size),) = arenas_of(bench)
    assert bench.host.take_span(start + size, start + size + 1)
    for _ in range(300):
        deposit_extents(bench.source, 511)
    sizes = [size for _, size in arenas_of(bench)]
    assert len(sizes) == 2
    assert min(sizes) == 512


def test_what_is_empty_at_either_end_of_an_arena_is_given_back():
    bench = Bench("grown:2M-1G")
    extents = [one for _ in range(40) for one in deposit_extents(bench.source, 511)]
    kept_start, kept_end = extents.pop(len(extents) // 2)
    for start, end in extents:
        bench.source.withdrawn(start, end)
    start, end = kept_start // 512 * 512, -(-kept_end // 512) * 512
    assert arenas_of(bench) == [(start, end - start)]
    assert bench.host.nr_free == bench.free - (end - start)


def host_of(runs):
    zones = zones_of(MAP, 1)
    policy = parse_policy("grown:2M-1G")
    host = HostPages(zones, policy.make_buddy)
    for start, end in runs:
        host.free(start, end)
    count = EntryCount(MAP)
    return host, count, policy.make_source(host, count)


def test_without_a_whole_step_an_arena_is_as_large_as_can_be_had():
    first = 1 << 20
    host, count, source = host_of(
        (first + at * 512, first + at * 512 + 128) for at in range(8)
    )
    extents = [one for _ in range(5) for one in deposit_extents(source, 100)]
    # Blocks of 64 pages are the largest that are asked for.
    assert (count.nr_pages, count.nr_runs) == (4 * 128, 4)
    for start, end in extents:
        source.withdrawn(start, end)
    assert (count.nr_pages, host.nr_free) == (0, 8 * 128)


def test_without_64_kib_pages_come_as_they_do_today():
    first = 1 << 20
    host, count, source = host_of((at, at + 2) for at in range(first, first + 2000, 4))
    extents = deposit_extents(source, 9)
    assert (count.nr_pages, count.nr_runs) == (9, 5)
    source.withdrawn_page(*extents[0], extents[0][0])
    source.withdrawn(extents[0][0] + 1, extents[0][1])
    for start, end in extents[1:]:
        source.withdrawn(start, end)
    assert (count.nr_pages, host.nr_free) == (0, 1000)


def test_a_movable_zone_has_one_arena_whatever_guests_take():
    bench = Bench("movable:1G")
    extents = []
    for _ in range(300):
        extents += deposit_extents(bench.source, 511)
        bench.host.take_run(2)
        assert bench.count.nr_runs == 1
    assert bench.count.nr_pages < 300 * 512 + 512
    for start, end in extents:
        bench.source.withdrawn(start, end)
    assert bench.count.nr_pages == 0
    with pytest.raises(CapacityError, match="a movable zone of 0x400000"):
        Bench("movable:16G")


def test_a_page_withdrawn_from_an_extent_splits_it():
    bench = Bench("scattered")
    ((start, end),) = deposit_extents(bench.source, 4)
    runs = bench.count.nr_runs
    bench.source.withdrawn_page(start, end, start + 1)
    assert bench.count.nr_pages == 3
    assert bench.count.nr_runs == runs + 1
    bench.source.withdrawn(start, start + 1)
    bench.source.withdrawn(start + 2, end)
    assert bench.host.nr_free == bench.free


def test_a_deposit_that_finds_no_page_gives_all_back():
    bench = Bench("cma:1x16K")
    assert deposit_extents(bench.source, 5) is None
    assert deposit_extents(bench.source, 4) is not None


@pytest.mark.parametrize(
    ("name", "is_local"), [("scattered", False), ("per-node", True), ("cma", True)]
)
def test_only_scattered_deposits_ignore_the_guests_node(name, is_local):
    assert parse_policy(name).is_local is is_local


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none", "not one of: scattered"),
        ("cma:", "not one of"),
        ("cma:19x3M", "a power of two"),
        ("arenas:1", "a power of two from 0x1000 on"),
        ("arenas:5000000T", "a power of two"),
        ("arenas:2Q", "not a size"),
        ("grown:2M", "not one of"),
        ("grown:3M-1G", "a power of two"),
        ("movable:", "not one of"),
    ],
)
def test_what_names_no_policy_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_policy(text)
