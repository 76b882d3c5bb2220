"""What fuzzing found is run again, and a little more is tried each time."""

import fuzzing
import pytest

from e820pool.cli.commands import show

FOLDER = fuzzing.FOLDER
FINDS = sorted(FOLDER.glob("fuzz_*"))


@pytest.fixture
def place(tmp_path):
    fuzzing.prepare(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", fuzzing.BY_NAME)
def test_whole_files_and_some_damaged_keep_to_the_rules(place, name):
    reader = fuzzing.BY_NAME[name]
    for data in reader.seeds:
        reader.run(place, data)
    assert list(fuzzing.faults(reader, place, "test", 12)) == []


@pytest.mark.parametrize("path", FINDS, ids=lambda path: path.name)
def test_what_was_found_keeps_to_the_rules(place, path):
    reader = fuzzing.reader_of(path)
    if reader.name == "parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow: e820pool[fleet]")
    reader.run(place, path.read_bytes())


def test_every_find_is_of_a_reader():
    assert FINDS
    assert {fuzzing.reader_of(path).name for path in FINDS} <= set(fuzzing.BY_NAME)


def test_a_command_that_breaks_a_rule_is_seen(place, monkeypatch):
    """The oracle has to fail where it should."""

    def traceback(args, _):
        raise KeyError(args.source)

    def escape(_, console):
        console.out.write("\x1b[31m")
        return 0

    def two_lines(_, console):
        console.err.write("one\ntwo\n")
        return 3

    for broken in (traceback, escape, two_lines):
        monkeypatch.setattr(show, "run", broken)
        with pytest.raises(AssertionError):
            fuzzing.BY_NAME["map"].run(place, b"x")
