"""A real guest deposits as the driver does; the simulation is held against it."""

import json

import pytest

from e820pool.cli import main


def measured(capsys, *words):
    """Return the only guest of the answer, and the exit status."""
    code = main(["stress", "--measure", *words, "--format", "json"])
    (guest,) = json.loads(capsys.readouterr().out)["guests"]
    return guest, code


def test_a_guest_deposits_unmovable_blocks_and_the_simulation_follows(capsys, image_of):
    version = image_of("6.1").version
    words = ("--ram", "2G", "--wear", "fresh", "--max-calls", "100", "--seeds", "5")
    guest, code = measured(capsys, "--kernel", version, *words)
    assert code == 0
    assert (guest["calls"], guest["pages"], guest["ended"]) == (100, 511, "calls")
    # 511 pages are a block of each order up to 8 where none fails.
    assert sum(count << order for order, count in enumerate(guest["orders"])) == 51100
    assert guest["orders"][8] == 100
    # The guest's own count of free pages says the same, less its page tables.
    gone = guest["free_pages"] - guest["left_pages"]
    assert abs(gone - 51100) < 2500
    assert guest["before"]["buddyinfo"][0].startswith("Node 0, zone DMA ")
    # Where free blocks of 4 MiB lie is as many as buddyinfo counts.
    runs = [line.partition(":")[2] for line in guest["before"]["runs"]]
    lines = guest["before"]["buddyinfo"]
    counted = sum(int(line.split()[-1]) for line in lines)
    assert abs(sum(map(int, runs)) - counted) < 8
    assert len(guest["tenths"]) == 10
    last = guest["tenths"][-1]
    assert 10 < last["measured"] < 200
    # A band of seeds, as what is on per-CPU lists is not known; and half beyond it.
    assert last["low"] / 1.5 < last["measured"] < last["high"] * 1.5, guest["tenths"]


def test_a_guest_serves_deposits_out_of_arenas_of_2_mib(capsys, image_of):
    words = ("--ram", "2G", "--wear", "fresh", "--policy", "arenas:2M")
    guest, code = measured(
        capsys, "--kernel", image_of("6.1").version, *words, "--max-calls", "300"
    )
    assert (code, guest["calls"], guest["policy"]) == (0, 300, "arenas:2M")
    # As many blocks of order 9 as 300 calls of 511 pages fill, and nothing else.
    assert guest["orders"] == [0] * 9 + [300, 0]
    # Arenas lie beside each other: a hundredth of the entries that pages alone need.
    assert 4 <= guest["tenths"][-1]["measured"] < 20


@pytest.mark.slow  # a quarter more: two guests, of which one has 4 GiB
@pytest.mark.parametrize(
    ("words", "order", "least"),
    [
        (("--ram", "2G", "--policy", "movable:1G"), 9, 400),
        (("--ram", "4G", "--policy", "arenas:1G"), 18, 1),
    ],
)
def test_a_guest_finds_arenas_in_its_movable_zone_and_by_contiguous_ranges(
    capsys, image_of, words, order, least
):
    version = image_of("6.1").version
    guest, code = measured(capsys, "--kernel", version, "--wear", "fresh", *words)
    assert code == 0
    assert guest["orders"][order] >= least
    assert sum(guest["orders"]) == guest["orders"][order]
    assert guest["ended"] in {"memory", "share"}
    # All of an arena is used before the next one is taken.
    pages = guest["orders"][order] << order
    assert pages - (1 << order) < guest["calls"] * 511 <= pages


@pytest.mark.slow  # two processors
def test_calls_of_a_guest_with_two_nodes_ask_them_in_turn(capsys, image_of):
    words = ("--ram", "2G", "--wear", "fresh", "--nodes", "2", "--max-calls", "100")
    guest, code = measured(capsys, "--kernel", image_of("6.1").version, *words)
    assert (code, guest["nodes"]) == (0, 2)
    lines = guest["before"]["buddyinfo"]
    assert {line.split(",")[0] for line in lines} == {"Node 0", "Node 1"}
