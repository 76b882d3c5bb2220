"""Hosts: maps, zones, nodes and where pages come from."""

import json
from pathlib import Path

import pytest

from e820pool.errors import InputError
from e820pool.experiments.deposit_runs import guest_map
from e820pool.extents import ExtentSet
from e820pool.memory_map import MemoryMap
from e820pool.sources.buddyinfo import ZoneFree, parse_free_blocks, read_free_blocks
from e820pool.stress.buddy import MAX_ORDER, Buddy
from e820pool.stress.draws import Draws
from e820pool.stress.host import WEAR, HostPages, generated_map, zones_of

GIB = 1 << 30
BUDDYINFO = Path(__file__).parents[1] / "data" / "buddyinfo" / "one-node.txt"
TOP = 1 << MAX_ORDER


def filled(memory_map, nr_nodes=1, wear="used", info=(), seed=1):
    zones = zones_of(memory_map, nr_nodes)
    host = HostPages(zones)
    host.fill(zones, wear, info, Draws(seed))
    return host


@pytest.mark.parametrize("size", [4 * GIB, 16 * GIB, 12 << 40])
def test_a_generated_map_has_so_much_ram(size):
    ram = generated_map(size).ram_pages().nr_pages << 12
    assert 0 <= size - ram < 1 << 20


@pytest.mark.parametrize("size", [0, 4 * GIB - 1, 1 << 52])
def test_a_host_of_no_real_size_is_refused(size):
    with pytest.raises(InputError, match="the limits are 0x100000000 and"):
        generated_map(size)


def test_zones_are_those_of_x86():
    zones = zones_of(generated_map(8 * GIB), 1)
    assert [zone.name for zone in zones] == ["DMA", "DMA32", "Normal"]
    assert zones[0].ram.ends[-1] == 1 << 12
    assert zones[2].ram.starts[0] == 1 << 20


@pytest.mark.parametrize("nodes", [1, 2, 3, 8])
def test_nodes_share_all_ram_about_equally(nodes):
    memory_map = generated_map(64 * GIB)
    zones = zones_of(memory_map, nodes)
    pages = [0] * nodes
    for zone in zones:
        pages[zone.node] += zone.ram.nr_pages
    assert sum(pages) == memory_map.ram_pages().nr_pages
    assert max(pages) - min(pages) <= 2 * TOP


@pytest.mark.parametrize("nodes", [0, -1, 1 << 30])
def test_a_number_of_nodes_that_cannot_be_is_refused(nodes):
    with pytest.raises(InputError, match="nodes: the limits are 1 and"):
        zones_of(generated_map(4 * GIB), nodes)


def test_pages_come_from_the_node_that_is_asked_for_and_then_from_others():
    memory_map = generated_map(16 * GIB)
    host = filled(memory_map, nr_nodes=2)
    second = [zone for zone in zones_of(memory_map, 2) if zone.node == 1]
    edge = int(second[0].ram.starts[0])
    assert host.alloc_order(0, 1) >= edge
    assert host.alloc_order(0, 0) < edge
    while (found := host.alloc_order(MAX_ORDER, 1)) is not None and found >= edge:
        pass
    assert found is not None
    assert found < edge


def test_normal_memory_goes_before_that_of_devices():
    host, zones = filled(generated_map(4 * GIB)), []
    while (found := host.alloc_order(0)) is not None:
        zones.append((found >= 1 << 12) + (found >= 1 << 20))
    assert zones == sorted(zones, reverse=True)
    assert {1, 2} <= set(zones)
    assert host.nr_free == 0


def test_a_run_over_the_edges_of_zones_goes_back_to_each():
    memory_map = generated_map(16 * GIB)
    zones = zones_of(memory_map, 2)
    host = HostPages(zones)
    (edge,) = (int(z.ram.starts[0]) for z in zones if z.node == 1)
    host.free(edge - 5, edge + 7)
    assert [host.alloc_order(0, 1) >= edge for _ in range(12)] == [True] * 7 + [
        False
    ] * 5


def test_a_zone_that_the_host_does_not_have_is_refused():
    info = [ZoneFree(node=1, zone="Normal", total=(5,))]
    with pytest.raises(InputError, match="0x5 pages of node 1 zone Normal"):
        filled(generated_map(8 * GIB), info=info)
    # Nothing is free there, or nothing for kernels.
    filled(generated_map(8 * GIB), info=[ZoneFree(node=1, zone="DMA32", total=(0,))])
    filled(generated_map(8 * GIB), info=[ZoneFree(node=0, zone="Movable", total=(9,))])


def test_ram_below_4_gib_holds_what_is_free_there():
    info = [ZoneFree(node=0, zone="DMA32", total=(0,) * 10 + (783,))]
    small, large = (generated_map(8 * GIB, one).ram_pages() for one in ((), info))
    assert small.nr_pages == large.nr_pages
    low = [int((one & ExtentSet([(0, 1 << 20)])).nr_pages) for one in (small, large)]
    assert low[0] < 783 * TOP < low[1]
    assert filled(generated_map(8 * GIB, info), info=info).nr_free == 783 * TOP


def test_guests_get_small_blocks_where_no_large_ones_are_left():
    info = [ZoneFree(node=0, zone="Normal", total=(900, 500, 0, 0, 90, 0, 0, 0, 0, 3))]
    host = filled(generated_map(8 * GIB), info=info)
    free = host.nr_free
    taken = host.take_run(4)
    assert sum(end - start for start, end in taken) == 4 * TOP
    assert host.nr_free == free - 4 * TOP
    assert host.take_run(1) == []
    for start, end in taken:
        host.free(start, end)
    assert host.nr_free == free


def test_guests_get_all_of_their_memory_or_none():
    host = filled(generated_map(8 * GIB))
    free = host.nr_free
    assert host.take_run(1 << 20) == []
    assert host.nr_free == free
    taken = host.take_run(300)
    assert sum(end - start for start, end in taken) == 300 * TOP
    assert host.nr_free == free - 300 * TOP


@pytest.mark.parametrize("wear", WEAR)
@pytest.mark.parametrize("size", [4 * GIB, 64 * GIB, 2 << 40])
def test_hosts_of_every_size_and_wear_have_free_memory(wear, size):
    host = filled(generated_map(size), wear=wear)
    share = host.nr_free / (size >> 12)
    assert 0.5 < share <= 0.99


def test_a_real_hosts_buddyinfo_is_what_is_free():
    rows = [(0, 0x9FC00, 1), (1 << 20, 3071 << 20, 1), (4 * GIB, 21 * GIB, 1)]
    info = read_free_blocks(BUDDYINFO)
    host = filled(MemoryMap.of(rows), info=info)
    assert host.nr_free == sum(zone.nr_pages for zone in info)


def runs_of(spans):
    """Return spans with those joined that touch."""
    joined = []
    for start, end in sorted(spans):
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return joined


@pytest.mark.parametrize("seed", range(5))
def test_there_are_about_as_many_runs_of_4_mib_as_free_blocks_of_2_mib(seed):
    """As in 38 guests that were asked for /proc/kpageflags: 0.86 times as many."""
    info = [ZoneFree(node=0, zone="DMA32", total=(0,) * 9 + (26, 226))]
    host = filled(generated_map(8 * GIB), info=info, seed=seed)
    parts = host.take_run(226)
    assert 17 <= len(runs_of(parts)) <= 27
    # Half of all is one run, which goes last, and the other runs go a part at a time.
    assert parts[-1][1] - parts[-1][0] == 113 * TOP
    assert parts[-1][0] == max(start for start, _ in parts)
    assert len(runs_of(parts)) < len(parts) <= 60


KEPT = (BUDDYINFO.parent / "gaps.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("line", KEPT, ids=range(len(KEPT)))
def test_what_is_free_lies_in_as_many_gaps_as_in_a_real_guest(line):
    """/proc/kpageflags of four guests counted them, by the digits of their length."""
    guest = json.loads(line)
    info = parse_free_blocks("\n".join(guest["files"]))
    zones = zones_of(guest_map(guest["ram_bytes"]), 1)
    counts = []
    for seed in range(5):
        buddies = [Buddy() for _ in zones]
        host = HostPages(zones, iter(buddies).__next__)
        host.fill(zones, "used", info, Draws(seed), ())
        spans = (
            (start, start + (1 << order))
            for buddy in buddies
            for start, order in buddy.free_blocks()
            if start >= 1 << 12
        )
        counts.append([end - start for start, end in runs_of(spans)])
    real = sum(guest["gaps"])
    assert all(0.75 * real < len(lengths) < 1.25 * real for lengths in counts)
    short = sum(guest["gaps"][:3])
    laid = sorted(sum(length < 8 for length in lengths) for lengths in counts)
    assert 0.75 * short < laid[2] < 1.25 * short


def test_a_zone_that_buddyinfo_does_not_name_has_nothing_free():
    info = [ZoneFree(node=0, zone="DMA32", total=(0,) * 10 + (9,))]
    host = filled(generated_map(8 * GIB), info=info)
    assert host.nr_free == 9 * TOP


def test_contiguous_pages_of_any_order_are_the_lowest_that_fit():
    host = filled(generated_map(64 * GIB), wear="fresh")
    found = host.take_aligned(18)
    assert found is not None
    assert found % (1 << 18) == 0
    assert filled(generated_map(4 * GIB), wear="worn").take_aligned(19) is None


@pytest.mark.parametrize(("low", "first"), [(0, 8), (1400, 2)])
def test_a_zone_at_its_low_watermark_comes_after_the_other_node(low, first):
    # Eight blocks of order 8 on node 0, of which six are below the watermark.
    free = ((0, "DMA32", 2, low), (1, "Normal", 4, 0))
    info = [
        ZoneFree(node=node, zone=zone, total=(*[0] * 10, count), low=low)
        for node, zone, count, low in free
    ]
    memory_map = generated_map(4 * GIB)
    host = filled(memory_map, nr_nodes=2, info=info)
    taken = [host.alloc_order(8) for _ in range(24)]
    (node_0,) = (
        one.ram
        for one in zones_of(memory_map, 2)
        if (one.node, one.name) == (0, "DMA32")
    )
    is_local = [bool(ExtentSet([(pfn, pfn + 1)]) & node_0) for pfn in taken]
    # On node 0 a little of RAM is above 4 GiB, and a 256th of that stays free, too.
    # What is below it is for when the other node has nothing either.
    assert is_local == [True] * first + [False] * 16 + [True] * (8 - first)
