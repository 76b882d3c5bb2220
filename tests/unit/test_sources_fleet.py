"""How many hosts a fleet has, before they are read."""

import json

import pytest
from rawhandoff import map_file

from e820pool.sources.fleet import count_fleet, read_fleet

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
