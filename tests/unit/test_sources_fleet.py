"""How many hosts a fleet has, before they are read."""

import json
from dataclasses import replace

import pytest
from rawhandoff import map_file

from e820pool.extents import ExtentSet
from e820pool.sources.fleet_files import count_fleet, read_fleet
from e820pool.stress.captured import Captured, _handoff_of

LINE = json.dumps({"e820": [[0, 4096, 1]]})


def test_a_folder_has_a_host_a_file(tmp_path):
    for at in range(3):
        map_file(tmp_path / f"{at}.json")
    assert count_fleet(str(tmp_path)) == 3


@pytest.mark.parametrize("text", ["", LINE, f"{LINE}\n", f"{LINE}\n{LINE}\n{LINE}"])
def test_a_file_has_a_host_a_line(tmp_path, text):
    path = tmp_path / "fleet.jsonl"
    path.write_text(text, encoding="utf-8")
    assert count_fleet(str(path)) == len(list(read_fleet(str(path))))


def test_a_parquet_file_knows_it(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="install e820pool[fleet]")
    from pyarrow import Table

    path = tmp_path / "fleet.parquet"
    parquet.write_table(Table.from_pylist([{"e820": [[0, 4096, 1]]}] * 5), path)
    assert count_fleet(str(path)) == 5


@pytest.mark.parametrize("name", ["none", "none.parquet", "broken.parquet"])
def test_what_cannot_be_counted_is_for_the_reading_to_say(tmp_path, name):
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    assert count_fleet(str(tmp_path / name)) is None


@pytest.mark.parametrize("line", ["{", "[" * 100_000])
def test_a_line_that_is_no_json_is_told_and_the_next_is_read(tmp_path, line):
    path = tmp_path / "fleet.jsonl"
    path.write_text(f"{line}\n{LINE}\n", encoding="utf-8")
    broken, whole = read_fleet(str(path))
    assert broken.error.startswith("no JSON: ")
    assert whole.error == ""


LATER = """\
BIOS-provided physical RAM map:
BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable
BIOS-e820: [mem 0x0000000000100000-0x000000000fffffff] usable
NX (Execute Disable) protection: active
e820: update [mem 0x00200000-0x0ffeffff] usable ==> reserved
"""


def test_no_page_is_drawn_where_a_kernel_reserved_later(tmp_path):
    (tmp_path / "host.txt").write_text(LATER)
    record = next(read_fleet(str(tmp_path)))
    later = ExtentSet([(0x200, 0xFFF0)])
    assert [(base, base + nr) for base, nr in record.later] == list(later)
    for seed in range(5):
        host = Captured(id="a", rows=record.rows, later=record.later, seed=seed)
        deposits = _handoff_of(host).ledger.extents
        assert deposits
        assert not deposits & later
        anywhere = _handoff_of(replace(host, later=())).ledger.extents
        assert anywhere & later


def test_partial_draws_there_as_well(tmp_path):
    (tmp_path / "host.txt").write_text(LATER)
    assert next(read_fleet(str(tmp_path), partial=True)).later == ()


def test_a_lone_log_is_told_that_a_fleet_is_a_folder(tmp_path):
    path = tmp_path / "dmesg.txt"
    path.write_text("BIOS-e820: [mem 0x0-0x9ffff] usable\n")
    (host,) = read_fleet(str(path))
    assert host.error.endswith("a fleet is JSON Lines, Parquet, or a folder of logs")
