"""Measured deposits: what a guest prints, and how two curves are compared."""

import json
from pathlib import Path

import pytest

from e820pool.errors import BadImageError, InputError, LabError
from e820pool.experiments.deposit_runs import (
    arenas_of,
    compared,
    guest_map,
    read_rows,
)
from e820pool.lab.measured_guest import parse_deposit_run
from e820pool.sources.buddyinfo import parse_free_blocks
from e820pool.stress.replay import entries_of, simulated_entries, tenths

BUDDYINFO = (
    "Node 0, zone DMA 0 0 0 0 0 0 0 0 1 1 2\n"
    "Node 0, zone DMA32 40 30 20 10 10 10 10 10 10 10 60"
)
PAGETYPEINFO = (
    "Node 0, zone DMA32, type Unmovable 2 1 1 1 1 1 1 1 1 1 10\n"
    "Node 0, zone DMA32, type Movable 38 29 19 9 9 9 9 9 9 9 50"
)
PRINTED = (
    "ready\nfree 60000 left 58978 end calls\n"
    "call 1000:8 2000:0\ncall 1100:8 2001:0\ncall\n"
    "\nfile buddyinfo\nNode 0, zone DMA 1\n\nfile pagetypeinfo\n\nfile zoneinfo\n"
)


def row(**changed):
    files = {"buddyinfo": BUDDYINFO, "pagetypeinfo": PAGETYPEINFO}
    before = {name: text.splitlines() for name, text in files.items()}
    plain = {
        "kernel": "6.1",
        "ram_bytes": 512 << 20,
        "age": "used",
        "pages": 511,
        "calls": 40,
        "ended": "calls",
        "free_pages": 80_000,
        "left_pages": 60_000,
        "before": before,
        "steps": {},
        "entries": [[call, 10 + call] for call in range(1, 41)],
    }
    return plain | changed


def test_what_a_guest_prints_is_its_calls_and_what_was_free():
    run = parse_deposit_run(PRINTED, {"boot/buddyinfo": "x"})
    # A call that found room in arenas took no block.
    assert run.calls == (((0x1000, 8), (0x2000, 0)), ((0x1100, 8), (0x2001, 0)), ())
    assert (run.free_pages, run.left_pages, run.ended) == (60000, 58978, "calls")
    assert run.before["buddyinfo"].strip() == "Node 0, zone DMA 1"
    assert run.steps == {"boot/buddyinfo": "x"}


def test_a_guest_that_cannot_deposit_says_why():
    with pytest.raises(LabError, match="socket: Operation not permitted"):
        parse_deposit_run("error socket: Operation not permitted\n")
    with pytest.raises(BadImageError, match="no head of deposits"):
        parse_deposit_run("busybox: applet not found\n")
    with pytest.raises(BadImageError, match="no blocks of a call"):
        parse_deposit_run("free 1 left 1 end calls\nxyz\n")


def test_blocks_that_touch_share_an_entry():
    memory_map = guest_map(512 << 20)
    before = len(memory_map.flatten())
    calls = [[(0x1000, 8), (0x2000, 0)], [(0x1100, 8), (0x2001, 0)]]
    # Two runs, each with an entry of its own and one for RAM behind it.
    assert entries_of(memory_map, calls) == [before + 4, before + 4]


@pytest.mark.parametrize(
    ("policy", "arenas"),
    [
        ("scattered", None),
        ("per-node", None),
        ("arenas:2M", ("ring", 9, 0, "")),
        ("arenas:1G", ("huge", 18, 0, "")),
        ("movable:1G", ("zone", 9, 512, "movablecore=1073741824")),
        ("cma:2x1G", ("areas", 18, 2, "hugetlb_cma=2147483648")),
    ],
)
def test_a_guest_follows_a_policy_by_what_its_kernel_offers(policy, arenas):
    assert arenas_of(policy) == arenas


@pytest.mark.parametrize("policy", ["top-down", "grown:2M-1G", "arenas:64M", "cma:2"])
def test_a_policy_that_no_guest_can_follow_is_refused(policy):
    with pytest.raises(InputError, match="not one that a guest can follow"):
        arenas_of(policy)


def test_where_the_host_has_no_room_for_arenas_entries_stay_as_they_are():
    info = parse_free_blocks(BUDDYINFO)
    memory_map = guest_map(512 << 20)
    entries = simulated_entries(memory_map, [511], info, policy="arenas:1G")
    assert entries == [len(memory_map.flatten())]


def test_seeds_are_a_band_around_the_median():
    measured = [10] * 20
    points = tenths(measured, [[9] * 20, [11] * 20, [13] * 20])
    assert [point.call for point in points] == list(range(2, 21, 2))
    assert {(one.low, one.middle, one.high) for one in points} == {(9, 11, 13)}
    assert points[0].error == pytest.approx(0.1)
    # A simulation that ended early counts with its last value.
    assert tenths(measured, [[9]])[-1].middle == 9
    assert tenths([], []) == []


SMALL = "Node 0, zone DMA32 40 30 20 10 0 0 0 0 0 0 60\n"


def ends(info, **options):
    """Return the entries at the end, of five seeds together."""
    memory_map, calls = guest_map(512 << 20), [511] * 30
    curves = [
        simulated_entries(memory_map, calls, info, seed=seed, **options)
        for seed in range(5)
    ]
    return sum(curve[-1] for curve in curves)


def test_per_cpu_lists_hold_blocks_that_buddyinfo_does_not_count():
    info = parse_free_blocks(SMALL)
    assert ends(info) > ends(info, per_cpu=()) + 5 * 10


def test_lists_hold_nothing_of_a_zone_of_which_the_kernel_never_took_a_page():
    kinds = "Node 0, zone DMA32, type Unmovable 0 0 0 0 0 0 0 0 0 0 0\n"
    info = parse_free_blocks(SMALL + kinds)
    assert ends(info) == ends(info, per_cpu=(0, 0, 0, 0))
    assert ends(info) < ends(parse_free_blocks(SMALL))


def test_a_kept_measurement_is_simulated_from_its_own_buddyinfo(tmp_path):
    path = tmp_path / "measured.jsonl"
    path.write_text(json.dumps(row()) + "\n")
    (kept,) = read_rows(path)
    found = compared(kept, range(3))
    assert len(found["tenths"]) == 10
    assert len(found["simulated"]) == 3
    assert found["tenths"][-1]["measured"] == 50
    assert found["within_15_percent"] == sum(
        abs(one["error"]) <= 0.15 for one in found["tenths"]
    )


def test_a_guest_has_a_size_that_can_be_built():
    assert guest_map(2 << 30).ram_pages().nr_pages << 12 > 2000 << 20
    # 4 GiB go on above the hole.
    assert int(guest_map(4 << 30).ram_pages().ends[-1]) > 1 << 20
    with pytest.raises(InputError, match="0x1000"):
        guest_map(4096)


def test_a_file_of_something_else_is_refused_by_its_line(tmp_path):
    path = tmp_path / "measured.jsonl"
    path.write_text(json.dumps(row()) + "\n")
    assert [one["calls"] for one in read_rows(path)] == [40]
    path.write_text(json.dumps(row()) + "\n{}\n")
    with pytest.raises(BadImageError, match="line 2"):
        read_rows(path)
    path.write_text("{\n")
    with pytest.raises(BadImageError, match="line 1"):
        read_rows(path)
    path.write_text(json.dumps(row(pages=512)) + "\n")
    with pytest.raises(BadImageError, match="40 calls of 512 pages"):
        read_rows(path)
    # An error is a share of what was measured.
    path.write_text(json.dumps(row(entries=[[1, 0]])) + "\n")
    with pytest.raises(BadImageError, match=r"entries\[0\]\[1\] is 0: want"):
        read_rows(path)


def test_lists_that_were_emptied_hold_nothing_that_lies_alone():
    lists = "Node 0, zone DMA32\npages free 60\ncount: {}\n"
    empty, full = (
        parse_free_blocks(SMALL + lists.format(count)) for count in (0, 9000)
    )
    assert ends(full) > ends(empty) + 5 * 10


def test_the_specification_has_what_the_kept_measurements_say():
    folder = Path(__file__).parents[2] / "specs"
    rows = read_rows(folder / "exhaustion" / "measured.jsonl")
    text = (folder / "exhaustion.md").read_text(encoding="utf-8")
    table = text.partition("| kernel | RAM | age | policy |")[2].splitlines()[2:]
    said = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    within = [0, 0, 0]
    for row_of_guest, words in zip(rows, said[: len(rows)], strict=True):
        found = compared(row_of_guest, range(5))
        points, nodes = found["tenths"], row_of_guest["nodes"]
        errors = [f"{point['error']:+.0%}"[:-1] for point in points]
        assert row_of_guest["kernel"].startswith(words[0] + ".")
        assert words[1:] == [
            f"{row_of_guest['ram_bytes'] >> 30} GiB",
            row_of_guest["age"],
            row_of_guest["policy"] + (f", {nodes} nodes" if nodes > 1 else ""),
            str(row_of_guest["pages"]),
            str(row_of_guest["calls"]),
            str(points[-1]["measured"]) if points else "-",
            str(found["within_15_percent"]),
            str(found["within_band"]),
            " ".join(errors),
        ]
        if row_of_guest["policy"] in ("scattered", "per-node"):
            counts = found["within_15_percent"], found["within_band"], len(points)
            within = [sum(pair) for pair in zip(within, counts, strict=True)]
    assert "within 15 % at {} and between the seeds at {} of {} points".format(
        *within
    ) in " ".join(text.split())
