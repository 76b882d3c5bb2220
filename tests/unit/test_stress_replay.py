"""Measured deposits: what a guest prints, and how two curves are compared."""

import json
from pathlib import Path

import pytest

from e820pool.errors import BadImageError, InputError, LabError
from e820pool.experiments.deposit_runs import compared, guest_map, read_rows
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
    "free 60000 left 58978 end calls\n"
    "1000:8 2000:0 \n1100:8 2001:0 \n"
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
    assert run.calls == (((0x1000, 8), (0x2000, 0)), ((0x1100, 8), (0x2001, 0)))
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


def test_seeds_are_a_band_around_the_median():
    measured = [10] * 20
    points = tenths(measured, [[9] * 20, [11] * 20, [13] * 20])
    assert [point.call for point in points] == list(range(2, 21, 2))
    assert {(one.low, one.middle, one.high) for one in points} == {(9, 11, 13)}
    assert points[0].error == pytest.approx(0.1)
    # A simulation that ended early counts with its last value.
    assert tenths(measured, [[9]])[-1].middle == 9
    assert tenths([], []) == []


def test_per_cpu_lists_hold_blocks_that_buddyinfo_does_not_count():
    info = parse_free_blocks("Node 0, zone DMA32 0 0 0 0 0 0 0 0 0 0 60\n")
    memory_map, calls = guest_map(512 << 20), [511] * 30
    without = simulated_entries(memory_map, calls, info, per_cpu=())
    order_0 = simulated_entries(memory_map, calls, info, per_cpu=(4,))
    assert simulated_entries(memory_map, calls, info)[-1] > order_0[-1] + 4
    assert order_0[-1] >= without[-1]


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
    memory_map, calls = guest_map(512 << 20), [511] * 30
    ends = []
    for count in (0, 9000):
        lists = f"Node 0, zone DMA32\npages free 60\ncount: {count}\nhigh: 9000\n"
        buddyinfo = "Node 0, zone DMA32 0 0 0 0 0 0 0 0 0 0 60\n"
        info = parse_free_blocks(buddyinfo + lists)
        curves = [
            simulated_entries(memory_map, calls, info, seed=seed) for seed in range(5)
        ]
        ends.append(sum(curve[-1] for curve in curves))
    assert ends[1] > ends[0] + 5 * 10


def test_the_specification_has_what_the_kept_measurements_say():
    folder = Path(__file__).parents[2] / "specs"
    rows = read_rows(folder / "exhaustion" / "measured.jsonl")
    table = (
        (folder / "exhaustion.md").read_text().partition("| kernel | RAM | age |")[2]
    )
    cells = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    said = [[cell.strip() for cell in line] for line in cells[: len(rows)]]
    for row_of_guest, words in zip(rows, said, strict=True):
        found = compared(row_of_guest, range(5))
        errors = [f"{point['error']:+.0%}"[:-1] for point in found["tenths"]]
        assert row_of_guest["kernel"].startswith(words[0] + ".")
        assert words[1:] == [
            f"{row_of_guest['ram_bytes'] >> 30} GiB",
            row_of_guest["age"],
            str(row_of_guest["pages"]),
            str(row_of_guest["calls"]),
            str(found["tenths"][-1]["measured"]),
            str(found["within_15_percent"]),
            str(found["within_band"]),
            " ".join(errors),
        ]
