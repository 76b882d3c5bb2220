"""Free blocks laid out on RAM: counts, buddies, places."""

from itertools import pairwise

import pytest

from e820pool.errors import InputError
from e820pool.extents import ExtentSet
from e820pool.stress.buddy import MAX_ORDER, Buddy
from e820pool.stress.draws import Draws
from e820pool.stress.fragments import FreeCounts, lay_out

GIB_PAGES = 1 << 18
RAM = ExtentSet([(1 << 20, (1 << 20) + 4 * GIB_PAGES)])
FEW = FreeCounts(
    own=(40, 30, 20, 10, 9, 8, 7, 6, 5, 4, 0),
    others=(100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 600),
)


def laid_out(ram=RAM, counts=FEW, seed=1, is_seen=False):
    buddy = Buddy()
    lay_out(buddy, ram, counts, Draws(seed), is_seen=is_seen)
    return buddy


def blocks_of(buddy):
    return sorted(buddy.free_blocks())


@pytest.mark.parametrize("is_seen", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_numbers_of_free_blocks_hold(seed, is_seen):
    there = laid_out(seed=seed, is_seen=is_seen).counts()
    assert there == tuple(map(FEW.total, range(MAX_ORDER + 1)))


@pytest.mark.parametrize("is_seen", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_no_block_overlaps_another_or_could_join_its_buddy(seed, is_seen):
    blocks = blocks_of(laid_out(seed=seed, is_seen=is_seen))
    ends = [start + (1 << order) for start, order in blocks]
    assert all(end <= start for end, (start, _) in zip(ends, blocks[1:], strict=False))
    there = set(blocks)
    for start, order in blocks:
        if order < MAX_ORDER:
            assert (start ^ (1 << order), order) not in there


def test_every_block_lies_in_ram():
    ram = ExtentSet([(1 << 20, (1 << 20) + 3000), ((1 << 21) + 77, (1 << 21) + 90_000)])
    counts = FreeCounts(own=(9, 9, 9, 9, 9, 9), others=(0,) * 10 + (50,))
    for start, order in blocks_of(laid_out(ram, counts)):
        assert ram.contains(start, start + (1 << order))


def test_blocks_are_found_places_in_ram_that_has_no_whole_block():
    """As in ZONE_DMA, of which the first 4 MiB have a hole."""
    ram = ExtentSet([(1, 0x9F), (0x100, 0x1000)])
    counts = FreeCounts(own=(0,) * 8 + (1,), others=(0,) * 9 + (1, 3))
    assert laid_out(ram, counts).counts() == (0,) * 8 + (1, 1, 3)


def test_a_seed_decides_the_places():
    assert blocks_of(laid_out(seed=3)) == blocks_of(laid_out(seed=3))
    assert blocks_of(laid_out(seed=3)) != blocks_of(laid_out(seed=4))


def test_a_host_that_is_all_free_is_a_run():
    blocks = 4 * GIB_PAGES >> MAX_ORDER
    buddy = laid_out(counts=FreeCounts(own=(), others=(0,) * 10 + (blocks,)))
    assert buddy.take_run(blocks) == [(1 << 20, (1 << 20) + 4 * GIB_PAGES)]


def test_free_memory_of_a_large_host_is_few_runs():
    ram = ExtentSet([(1 << 20, (1 << 20) + 12 * 1024 * GIB_PAGES)])
    tops = (ram.nr_pages >> MAX_ORDER) * 9 // 10
    buddy = laid_out(ram, FreeCounts(own=(), others=(10,) * 10 + (tops,)))
    assert len(buddy.take_run(tops)) <= 65


@pytest.mark.parametrize(
    "counts",
    [
        FreeCounts(own=(), others=(0,) * 10 + (4097 * 64,)),
        FreeCounts(own=(), others=(0,) * 9 + (600, 4 * 256 - 500)),
        FreeCounts(own=(1 << 30,), others=()),
    ],
    ids=["more than RAM", "more halves than wholes in use", "too many pages"],
)
def test_more_than_the_zone_has_room_for_is_refused(counts):
    with pytest.raises(InputError, match="said to be free"):
        laid_out(counts=counts)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_of_the_block_that_was_split_last_is_one_run(seed):
    """expand() frees the upper half of each order on its way down."""
    counts = FreeCounts(own=(0, 0, 0, 1, 1, 1, 1, 1, 1, 1), others=(0,) * 10 + (9,))
    buddy = laid_out(counts=counts, seed=seed, is_seen=True)
    taken = sorted((buddy.alloc_order(order), 1 << order) for order in range(3, 10))
    assert taken[0][0] % 1024 == 8
    assert all(one + size == two for (one, size), (two, _) in pairwise(taken))


def test_short_runs_of_a_real_host_rather_go_first():
    counts = FreeCounts(own=(), others=(0,) * 10 + (600,))
    shares = []
    for is_seen in (False, True):
        runs = 0
        for seed in range(20):
            buddy = laid_out(counts=counts, seed=seed, is_seen=is_seen)
            taken = [buddy.alloc_order(MAX_ORDER) for _ in range(200)]
            runs += sum(two - one != 1024 for one, two in pairwise(sorted(taken)))
        shares.append(runs)
    assert shares[1] > 1.2 * shares[0]
