"""A real guest deposits as the driver does; the simulation is held against it."""

import json

from e820pool.cli import main


def test_a_guest_deposits_unmovable_blocks_and_the_simulation_follows(capsys, image_of):
    version = image_of("6.1").version
    words = ("--ram", "2G", "--wear", "fresh", "--max-calls", "100", "--seeds", "5")
    code = main(
        ["stress", "--measure", "--kernel", version, *words, "--format", "json"]
    )
    told = json.loads(capsys.readouterr().out)
    (guest,) = told["guests"]
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
