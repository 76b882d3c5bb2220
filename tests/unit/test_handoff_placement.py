"""Room: what is given out is RAM, free, and nobody else's."""

import pytest
import rawbytes

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import CapacityError, InputError
from e820pool.extents import ByteRangeSet
from e820pool.handoff.placement import LOW_LIMIT, PLACEMENT_LIMIT, Room, place_kernel
from e820pool.table import E820Table

MIB = 1 << 20
DEPOSIT = (8 * MIB, 9 * MIB)


def room(*ram, deposits=(DEPOSIT,)):
    ram = ByteRangeSet(ram or [(0, 640 << 10), (MIB, 64 * MIB)])
    deposits = ByteRangeSet(deposits)
    return Room(ram=ram - deposits, deposits=deposits)


def test_the_lowest_place_from_1_mib_on_is_found():
    assert room().find("a part", 4096) == MIB
    assert LOW_LIMIT == MIB


def test_what_was_given_out_is_not_given_again():
    free = room()
    assert [free.find("a part", 5000) for _ in range(3)] == [
        MIB,
        MIB + 0x2000,
        MIB + 0x4000,
    ]


def test_a_deposit_is_gone_round():
    assert room((7 * MIB, 64 * MIB)).find("a part", 2 * MIB) == 9 * MIB
    assert room((7 * MIB, 64 * MIB)).find("a part", MIB) == 7 * MIB


@pytest.mark.parametrize(("align", "at"), [(4096, MIB), (2 * MIB, 2 * MIB), (64, MIB)])
def test_a_place_is_aligned(align, at):
    assert room((MIB, 8 * MIB)).find("a part", 100, align=align) == at


def test_a_place_ends_below_its_limit():
    free = room((MIB, 8 * MIB))
    assert free.find("a part", MIB, high=2 * MIB) == MIB
    with pytest.raises(CapacityError, match=r"within \[mem 0x100000-0x1fffff\]"):
        free.find("a part", MIB, high=2 * MIB)


@pytest.mark.parametrize("low", [PLACEMENT_LIMIT, 1 << 63, 1 << 70])
def test_there_is_no_place_beyond_the_limit(low):
    with pytest.raises(CapacityError, match="no place for a part"):
        room().find("a part", 4096, low=low)


def test_the_largest_run_is_told_when_nothing_fits():
    with pytest.raises(CapacityError, match="the largest free run has 0x3700000"):
        room().find("a part", 60 * MIB)


@pytest.mark.parametrize(
    ("addr", "size", "message"),
    [
        (8 * MIB - 1, 2, r"covers deposited bytes \[mem 0x800000-0x800000\]"),
        (9 * MIB - 1, 1, r"covers deposited bytes \[mem 0x8fffff-0x8fffff\]"),
        (64 * MIB - 1, 2, r"is not RAM in \[mem 0x4000000-0x4000000\]"),
        (LOW_LIMIT - 1, 2, "lies below 0x100000"),
        ((1 << 64) - 2, 4, "reaches beyond 0xffffffffffffffff"),
        (1 << 63, 4, "is not RAM"),
    ],
)
def test_a_claim_shows_what_is_in_its_way(addr, size, message):
    with pytest.raises(InputError, match=message):
        room().claim("a part", addr, size)


@pytest.mark.parametrize(
    ("addr", "size"), [(MIB, 1), (8 * MIB - 1, 1), (9 * MIB, 55 * MIB)]
)
def test_a_claim_may_touch_deposits_and_ends(addr, size):
    assert room().claim("a part", addr, size) == addr


def test_two_claims_do_not_share_a_byte():
    free = room()
    free.claim("one", 2 * MIB, 0x1000)
    with pytest.raises(
        InputError, match=r"two at .* overlaps one at \[mem 0x200000-0x200fff\]"
    ):
        free.claim("two", 2 * MIB + 0xFFF, 1)
    free.claim("two", 2 * MIB + 0x1000, 1)


def test_a_refused_claim_takes_nothing():
    free = room()
    with pytest.raises(InputError):
        free.claim("one", 8 * MIB - 1, 2)
    assert free.claim("two", 8 * MIB - 1, 1)


def test_what_is_occupied_is_not_given_out_wherever_it_lies():
    free = room()
    free.occupy("a part", MIB, 5000)
    free.occupy("another", (1 << 64) - 1, 10)
    assert free.find("a part", 4096) == MIB + 0x2000
    assert not free.is_free(MIB + 4999, 1)


@pytest.mark.parametrize(
    ("addr", "size", "is_free"),
    [
        (MIB, 7 * MIB, True),
        (MIB - 1, 2, False),
        (8 * MIB - 1, 2, False),
        (9 * MIB, 55 * MIB, True),
        (9 * MIB, 55 * MIB + 1, False),
    ],
)
def test_a_place_is_free_that_could_be_claimed(addr, size, is_free):
    assert room().is_free(addr, size) == is_free


def test_there_is_no_free_place_for_a_part_above_4_gib():
    free = room((MIB, 8 << 30))
    assert free.is_free(PLACEMENT_LIMIT - 4096, 4096)
    assert not free.is_free(PLACEMENT_LIMIT - 4096, 4097)


def test_ram_of_a_table_is_what_no_entry_contradicts():
    rows = [(MIB, 63 * MIB, 1), (4 * MIB, MIB, 2), ((1 << 64) - 4096, 8192, 1)]
    free = Room.in_table(E820Table.of(rows), ByteRangeSet([DEPOSIT]))
    assert list(free.ram) == [
        (MIB, 4 * MIB),
        (5 * MIB, 8 * MIB),
        (9 * MIB, 64 * MIB),
        ((1 << 64) - 4096, (1 << 64) - 1),
    ]


def image(**fields):
    return parse_bzimage(rawbytes.bzimage(**({"init_size": 4 * MIB} | fields)))


def test_a_kernel_lies_at_its_preferred_address():
    assert place_kernel(image(), room(), None) == (16 * MIB, 20 * MIB)


def test_a_kernel_moves_up_by_its_alignment():
    free = room(deposits=[(17 * MIB, 17 * MIB + 4096)])
    assert place_kernel(image(), free, None) == (18 * MIB, 22 * MIB)
    free = room(deposits=[(17 * MIB, 17 * MIB + 4096)])
    far = image(kernel_alignment=16 * MIB)
    assert place_kernel(far, free, None) == (32 * MIB, 36 * MIB)


def test_a_window_is_never_smaller_than_the_file():
    large = parse_bzimage(rawbytes.bzimage(payload=bytes(MIB), init_size=4096))
    start, end = place_kernel(large, room(), None)
    assert end - start == large.protected_mode_size >= MIB


@pytest.mark.parametrize(
    ("fields", "addr", "message"),
    [
        ({}, 15 * MIB, "loaded at 0xf00000 would run at 0x1000000"),
        ({}, 17 * MIB, "would run at 0x1200000: load it there .alignment 0x200000"),
        ({}, 62 * MIB, "is not RAM"),
        ({}, 1 << 32, "protocol's limit is 0x100000000"),
        ({"relocatable_kernel": 0}, 18 * MIB, "would run at 0x1000000"),
        ({"relocatable_kernel": 0, "pref_address": 8 * MIB}, None, "covers deposited"),
        ({"relocatable_kernel": 0, "pref_address": 1 << 40}, None, "protocol's limit"),
    ],
)
def test_a_kernel_is_not_put_where_it_cannot_run(fields, addr, message):
    with pytest.raises(InputError, match=message):
        place_kernel(image(**fields), room(), addr)


def test_a_kernel_takes_its_place_from_the_room():
    free = room()
    place_kernel(image(), free, None)
    with pytest.raises(InputError, match="overlaps the kernel window"):
        free.claim("a part", 20 * MIB - 1, 1)
