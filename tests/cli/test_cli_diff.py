"""diff: two maps side by side, by address."""

import json
import re

import pytest
from rawhandoff import GIB, MIB, ROWS, map_file, with_reserved

DEPOSIT = ((GIB >> 12, 512),)
AFTER = with_reserved(ROWS, DEPOSIT)


@pytest.fixture
def after(tmp_path):
    return map_file(tmp_path / "after.json", AFTER)


def marks(text):
    return re.findall(r"^([=<>~]) [0-9a-f]+-", text, re.MULTILINE)


def test_a_map_is_equal_to_itself(ok, machine):
    done = ok("diff", machine, machine)
    assert done.out.splitlines()[-1] == "equal: all 39.0 GiB have the same types"
    assert set(marks(done.out)) == {"="}


def test_what_differs_is_marked_and_summed_up_with_status_1(run, machine, after):
    done = run("diff", machine, after)
    assert (done.code, done.err) == (1, "")
    assert "~ 040000000-0401fffff     2 MiB  #2 usable" in done.out
    assert done.out.splitlines()[-2:] == [
        "different: 2 MiB; same: 39.0 GiB",
        "  usable  ->  reserved  2 MiB  1 range",
    ]


def test_each_side_can_have_bytes_that_the_other_has_not(run, machine, tmp_path):
    other = map_file(tmp_path / "b.json", [*ROWS[:-1], (1 << 40, 16 * MIB, 12)])
    done = run("diff", machine, other, "--changes")
    assert done.code == 1
    assert marks(done.out) == ["<", ">"]
    assert "  usable    ->  no entry" in done.out
    assert "  no entry  ->  persistent (type 12)  16 MiB  1 range" in done.out


def test_changes_leaves_out_what_is_the_same(run, machine, after):
    assert marks(run("diff", machine, after, "--changes").out) == ["~"]
    assert marks(run("diff", machine, machine, "--changes").out) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (with_reserved(ROWS, ()), ""),
        (ROWS[::-1], "only in the order of their entries"),
        ([*ROWS, ROWS[0]], "only in how they are split into entries"),
    ],
)
def test_tables_that_say_the_same_are_equal(ok, machine, tmp_path, rows, words):
    done = ok("diff", machine, map_file(tmp_path / "b.json", rows), "-q")
    assert words in done.out.splitlines()[-1]
    assert ("the tables differ" in done.out) == bool(words)


def test_the_json_twin_has_exactly_its_keys(run, machine, after):
    done = run("diff", machine, after, "--format", "json")
    told = done.json
    assert (done.code, done.err) == (1, "")
    assert (told["schema"], told["kind"]) == (1, "map-diff")
    assert set(told) == {
        "schema", "kind", "a", "b", "equal", "same_entries", "changes", "ranges",
    }  # fmt: skip
    assert set(told["a"]) == {"origin", "entries", "notes"}
    assert [told[one]["entries"] for one in "ab"] == [len(ROWS), len(AFTER)]
    assert (told["equal"], told["same_entries"]) == (False, False)
    assert told["changes"] == [{"a": 1, "b": 2, "size": 2 * MIB, "ranges": 1}]
    assert [GIB, 2 * MIB, 1, 2] in told["ranges"]
    assert sum(size for _, size, *_ in told["ranges"]) == sum(row[1] for row in ROWS)


def test_json_has_null_where_a_map_has_no_entry(run, machine, tmp_path):
    other = map_file(tmp_path / "b.json", ROWS[:-1])
    told = run("diff", machine, other, "--format", "json").json
    assert told["ranges"][-1] == [*ROWS[-1], None]


@pytest.mark.parametrize("width", [64, 80, 140])
def test_lines_fit_the_terminal(run, machine, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    far = [*AFTER, (1 << 46, 16 * MIB, 12), (1 << 47, GIB, 0xEFFF_FFFF)]
    done = run("diff", machine, map_file(tmp_path / "b.json", far), "-q")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= width
    # A wide one has room for the entries themselves.
    assert (max(map(len, lines)) > 100) == (width == 140)


def test_colour_is_for_terminals_and_for_those_who_ask(run, machine, after):
    words = ["diff", machine, after]
    plain = run(*words).out
    assert "\x1b" not in plain
    painted = run(*words, "--color", "always").out
    assert "\x1b[33m~ 040000000" in painted
    for code in ("\x1b[33m", "\x1b[1m", "\x1b[0m"):
        painted = painted.replace(code, "")
    assert painted == plain


def test_a_source_that_is_none_is_named(refused, machine):
    told = refused(3, "diff", machine, "/no/such/file")
    assert "/no/such/file" in told


def test_standard_input_is_read_once(run):
    done = run("diff", "-", "-")
    assert (done.code, done.out) == (2, "")
    assert "standard input holds one map" in done.err


def test_an_entry_that_wraps_is_told_with_its_file(refused, machine, tmp_path):
    path = tmp_path / "b.json"
    wrong = map_file(path, [((1 << 64) - 4096, 8192, 2)])
    assert "b.json" in refused(3, "diff", machine, wrong)


def test_handoffs_and_logs_are_sources_too(run, machine, out):
    run("build", machine, "-o", out, "--deposit", "1G+2M")
    done = run("diff", machine, out, "--format", "json")
    assert [one["size"] for one in json.loads(done.out)["changes"]] == [2 * MIB]
