"""memblock.memory: page trim, growth beyond 128 regions, what is lost."""

import pytest

from e820pool.abi.e820 import table_of
from e820pool.extents import Span
from e820pool.kernel.boot_input import BootInput, SetupDataSpan
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.memblock import MemoryArray, early_reservations, whole_pages
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.state import EarlyBoot

M = 1 << 20
LOW = (0, 0x9F000, 1)


def view(rows, release="6.1", config=None, ext=(), **rest):
    inp = BootInput(table=table_of(rows), ext=tuple(map(table_of, ext)), **rest)
    return predict_input(inp, profile_for(release, config))


def islands(count):
    return [(M + n * 2 * M, M, 1) for n in range(count)]


@pytest.mark.parametrize(
    ("span", "pages"),
    [
        ((0, 0x1000), [(0, 0x1000)]),
        ((1, 0x2000), [(0x1000, 0x2000)]),
        ((0x1000, 0x2FFF), [(0x1000, 0x2000)]),
        ((1, 0x1FFF), []),
        ((0x1800, 0x1900), []),
    ],
)
def test_partial_pages_are_dropped(span, pages):
    assert list(whole_pages([span])) == pages


def test_neighbours_join_before_pages_are_counted():
    rows = [LOW, (M, 0x800, 1), (M + 0x800, 0x800, 128), (2 * M, M, 1)]
    assert Span.at(M, 0x1000) in view(rows, "6.12").memory
    assert Span.at(M, 0x1000) not in view(rows, "6.18").memory
    # Before memblock each entry was rounded by itself, and 128 was no memory.
    assert Span.at(M, 0x1000) not in view(rows, "2.6.32").memory


def test_only_ram_becomes_memory():
    kinds = (2, 3, 4, 5, 7, 12, 13, 0xEFFFFFFF, 0xFFFFFFFF)
    rows = [LOW, (M, M, 1), *((16 * M * n, M, k) for n, k in enumerate(kinds, 1))]
    for release in ("2.6.32", "4.4", "4.19", "6.1", "7.3"):
        assert view(rows, release).memory[-1] == Span.at(M, M)


def test_overlaps_of_a_refused_table_are_joined():
    rows = [LOW, (3 * M, 2 * M, 1), (M, 3 * M, 1), (2 * M, M, 2)]
    rows.append(((1 << 64) - 0x1000, 0x1000, 2))
    assert Span.at(M, 4 * M) in view(rows).memory


def test_the_array_grows_in_low_memory():
    rows = islands(200)
    assert len(view([LOW], ext=[rows]).memory) == 201
    assert view([LOW, *rows[:50]], ext=[rows[50:]]).dropped == ()


def test_without_low_memory_what_follows_the_128th_region_is_lost():
    seen = view([(0, 0x9F000, 2), (0x9F000, 0x1000, 2)], ext=[islands(200)])
    assert len(seen.memory) == 128
    assert list(seen.dropped) == islands(200)[128:]
    assert "memblock-full" in seen.warnings


@pytest.mark.parametrize(
    ("taken", "count"),
    [
        # 256 regions take two pages; the first 64 KiB are never used.
        ((0x1000, 0x9D000), 128),
        ((0x1000, 0x9C000), 201),
    ],
)
def test_a_reservation_can_take_the_room(taken, count):
    node = SetupDataSpan(addr=taken[0], size=taken[1] - taken[0] + 0x1000, type=7)
    given = {"ext": [islands(200)], "setup_data": (node,)}
    assert len(view([(0, 0x9F000, 1)], "6.18", **given).memory) == count


def test_soft_reserved_memory_is_reserved_too():
    soft = [(0x10000, 0x8D000, 0xEFFFFFFF), (0x9D000, 0x1000, 1)]
    assert len(view(soft, ext=[islands(200)]).memory) < 201


def test_the_old_array_is_free_again():
    # 128 -> 256 takes 8 KiB, -> 512 takes 12 KiB: one after the other.
    array = MemoryArray([])
    assert array.add(0x1000, 0x1000 + 0x5000)
    for n in range(400):
        assert array.add((n + 2) << 20, ((n + 2) << 20) + 1)
    assert not all(
        array.add((n + 500) << 20, ((n + 500) << 20) + 1) for n in range(120)
    )


def test_a_region_over_all_others_joins_them():
    array = MemoryArray([])
    for n in range(10):
        array.add(n * 10, n * 10 + 5)
    assert len(array.spans) == 10
    assert array.add(2, 92)
    assert array.spans == [(0, 95)]
    assert array.add(95, 96)
    assert array.add(200, 200)
    assert array.spans == [(0, 96)]


def test_scratch_of_a_handover_is_memory_whatever_the_table_says():
    rows = [LOW, (M, 15 * M, 1), (16 * M, M, 2), (17 * M, 15 * M, 1)]
    given = {"kho_scratch": (Span.at(16 * M, M),)}
    on = {"KEXEC_HANDOVER": True}
    assert Span.at(M, 31 * M) in view(rows, "6.18", on, **given).memory
    assert Span.at(M, 15 * M) in view(rows, "6.18", **given).memory
    assert Span.at(M, 15 * M) in view(rows, "6.12", on, **given).memory


def reservations(rows, release):
    inp = BootInput(table=table_of(rows))
    boot = EarlyBoot.of(inp, profile_for(release))
    boot.table.add_all(rows)
    return early_reservations(boot)


def test_4_19_reserves_what_is_no_ram():
    rows = [LOW, (M, M, 1), (4 * M, M, 2), (5 * M, M, 128), (8 * M, M, 1)]
    apart = {(0x9F000, M), (2 * M, 4 * M), (4 * M, 5 * M), (6 * M, 8 * M)}
    assert apart <= set(reservations(rows, "4.19.0"))
    assert not apart - {(0x9F000, M)} & set(reservations(rows, "5.4"))


@pytest.mark.parametrize(("release", "first"), [("5.10", 0x1000), ("5.15", 0x10000)])
def test_the_first_pages_are_reserved_early(release, first):
    assert (0, first) in reservations([LOW], release)
