"""predict: one handoff as a modelled kernel sees it, or a stream of records."""

import io
import json
import sys

import pytest
import rawbytes
from rawhandoff import MIB, ROWS, RawHandoff, with_reserved

PAGES = [(0x40000, 2)]
TABLE = with_reserved(ROWS, PAGES)


@pytest.fixture
def handoff(tmp_path):
    return RawHandoff(rows=TABLE, deposits=PAGES).write(tmp_path / "h")


@pytest.fixture
def bulk(run, tmp_path):
    """Return a function that predicts lines and returns the answers, in order."""

    def call(*lines):
        path = tmp_path / "records.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        done = run("predict", "--jsonl", path)
        answers = [json.loads(line) for line in done.out.splitlines()]
        bad = any("error" in answer for answer in answers)
        assert (done.code, done.err) == (3 if bad else 0, "")
        return answers

    return call


def record(ident="x", **more):
    rows = [list(row) for row in TABLE]
    whole = {"id": ident, "kernel": "6.1", "e820": rows} | more
    return json.dumps({k: v for k, v in whole.items() if v is not ...}).encode()


def test_the_view_is_told_in_the_words_of_that_kernel(ok, handoff):
    old = ok("predict", handoff, "--kernel", "6.1").out.splitlines()
    assert old[0] == "Linux 6.1 (model), map from BIOS-e820"
    assert old[1] == "first map: 8 entries"
    assert old[5] == "  [mem 0x0000000040000000-0x0000000040001fff] reserved"
    new = ok("predict", handoff, "--kernel", "7.0").out.splitlines()
    assert new[5] == "  [mem 0x0000000040000000-0x0000000040001fff] device reserved"
    assert new[4].endswith("System RAM")


def test_the_json_twin_has_its_keys(ok, handoff):
    told = ok("predict", handoff, "--format", "json").json
    assert set(told) >= {
        "schema",
        "kind",
        "kernel",
        "engine",
        "map_source",
        "bios_map",
        "extended_map",
        "user_map",
        "memory",
        "dropped",
        "fatal",
        "findings",
    }
    assert (told["schema"], told["kind"], told["kernel"]) == (1, "kernel-view", "6.1")
    assert told["bios_map"] == [list(row) for row in TABLE]
    assert [0x40000000, 0x2000] not in told["memory"]
    assert told["extended_map"] is told["user_map"] is told["fatal"] is None
    assert told["dropped"] == []


def test_the_bulk_form_says_the_same_as_the_single_one(ok, handoff, bulk):
    told = ok("predict", handoff, "--format", "json").json
    (line,) = bulk(record())
    assert line.pop("id") == "x"
    assert set(line) == {
        "map_source",
        "bios_map",
        "extended_map",
        "user_map",
        "memory",
        "dropped",
        "fatal",
    }
    assert {key: told[key] for key in line} == line


def test_entries_beyond_128_are_an_extended_map(bulk):
    rows = [[i << 20, 1 << 19, 1] for i in range(130)]
    (line,) = bulk(record(e820=rows, ext=[[1 << 40, 4096, 2]]))
    assert line["bios_map"] == rows[:128]
    assert line["extended_map"] == [*rows, [1 << 40, 4096, 2]]


def test_an_image_is_placed_before_it_is_asked(ok, handoff, tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage())
    done = ok("predict", handoff, "--kernel", image)
    assert done.out.startswith("Linux 6.1.0-52-cloud-amd64 (model)")
    window = "[mem 0x0000000001000000-0x0000000004377fff]"
    assert f"decompressor works in: {window}" in done.out
    assert "KASLR: " in done.out


def test_what_ends_the_boot_is_said(ok, tmp_path):
    path = RawHandoff(rows=[*ROWS, (1 << 63, 1 << 63, 2)]).write(tmp_path / "h")
    done = ok("predict", path)
    assert "-0xffffffffffffffff] reserved" in done.out
    assert "the boot ends: " in done.out


def test_an_empty_entry_and_a_marked_one_are_told(ok, tmp_path):
    nodes = [(0x102000, 9, b"abc")]
    rows = [*ROWS, (1 << 40, 4096, 128)]
    path = RawHandoff(rows=rows, nodes=nodes).write(tmp_path / "h")
    assert "usable (type 128)" in ok("predict", path, "--kernel", "6.1").out
    assert "] type 128\n" in ok("predict", path, "--kernel", "7.0").out


@pytest.mark.parametrize("kernel", ["9.9", "", "six", "1.0", "6.1\n", "6.99999999999"])
def test_a_kernel_that_is_not_known_has_no_view(refused, handoff, kernel):
    for command in ("predict", "rebuild"):
        assert "kernel not known" in refused(4, command, handoff, "--kernel", kernel)


def test_an_image_of_an_unknown_kernel_has_no_view_either(refused, handoff, tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage(text=b"99.1.0-new"))
    message = refused(4, "predict", handoff, "--kernel", image)
    assert str(image) in message
    assert "99.1.0-new" in message
    image.write_bytes(rawbytes.bzimage(text=b""))
    assert "kernel not known" in refused(4, "predict", handoff, "--kernel", image)


def test_an_image_that_cannot_be_read_is_bad_input(refused, handoff, tmp_path):
    missing = tmp_path / "vmlinuz"
    assert "no such file" in refused(3, "predict", handoff, "--kernel", missing)
    missing.write_bytes(b"")
    assert "is empty" in refused(3, "predict", handoff, "--kernel", missing)
    assert "is a directory" in refused(3, "predict", handoff, "--kernel", tmp_path)


@pytest.mark.parametrize("words", [[], ["h", "--jsonl", "x"], ["h", "--jsonl="]])
def test_either_a_handoff_or_records(run, words):
    done = run("predict", *words)
    assert (done.code, done.out) == (2, "")
    assert "either HANDOFF or --jsonl FILE" in done.err


def test_records_that_cannot_be_read_are_bad_input(run, tmp_path, machine):
    for path, shown in (
        (tmp_path / "no", "no such file"),
        (tmp_path, "is a directory"),
        (machine / "x", "not a directory"),
        ("", "cannot read"),
        ("a\0b", "null byte"),
    ):
        done = run("predict", "--jsonl", path)
        assert (done.code, done.out) == (3, "")
        assert shown in json.loads(done.err)["error"]
        assert done.err.count("\n") == 1


def test_records_come_from_standard_input_too(run, monkeypatch):
    lines = record("a") + b"\n" + record("b")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    done = run("predict", "--jsonl", "-")
    assert [json.loads(x)["id"] for x in done.out.splitlines()] == ["a", "b"]
    monkeypatch.setattr(sys, "stdin", None)
    done = run("predict", "--jsonl", "-")
    assert (done.code, done.out) == (3, "")


def test_the_order_is_kept_and_a_bad_line_does_not_end_the_run(bulk):
    found = bulk(
        record(1),
        b"",
        record(2, kernel="9.9"),
        b"\xff\xfe",
        record("3"),
        b"{",
        record(4, e820=...),
        record(None),
    )
    assert [line["id"] for line in found] == [1, None, 2, None, "3", None, 4, None]
    errors = [sorted(line) == ["error", "id"] for line in found]
    assert errors == [False, True, True, True, False, True, True, False]


HUGE = b"1" + b"0" * 5000


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b" ", "not JSON"),
        (b"[]", "list is no record"),
        (b"null", "no record"),
        (b"1", "no record"),
        (b"[" * 100_000, "not JSON"),
        (b'{"id": ' + HUGE + b"}", "not JSON"),
        (b'{"id": NaN}', "NaN is not JSON"),
        (b'{"id": [1]}', "id [1] is no string or number"),
        (record(kernel=...), "kernel is missing"),
        (record(kernel=6.1), "kernel 6.1 is no str"),
        (record(kernel="9.9"), "kernel not known: '9.9'"),
        (record(e820=[[1, 2]]), "e820[0] [1, 2]"),
        (record(e820=[[0, 1, 1], [-1, 2, 1]]), "e820[1] [-1, 2, 1]"),
        (record(e820=[[1 << 64, 2, 1]]), "below 2^64"),
        (record(e820=[[1, 2, 1 << 32]]), "type below 2^32"),
        (record(e820=[[1, 2, True]]), "e820[0]"),
        (record(e820=[[1, 2.0, 1]]), "e820[0]"),
        (record(ext=[7]), "ext[0] 7"),
        (record(cmdline=5), "cmdline 5 is no str"),
        (record(cmdline="\ud800"), "cmdline has no UTF-8 form at 0x0"),
        (record(kernel_range=[5]), "kernel_range [5]"),
        (record(kernel_range=[5, 4]), "kernel_range [5, 4]"),
        (record(setup_data=[[1, 2]]), "setup_data[0] [1, 2]"),
        (record(config={"NODES_SHIFT": 99}), "NODES_SHIFT"),
        (record(config={"NODES_SHIFT": "ten"}), "NODES_SHIFT"),
        (record(config=[]), "config [] is no dict"),
    ],
)
def test_a_bad_line_says_what_is_wrong_with_it(bulk, line, shown):
    bad, good = bulk(line, record("next"))
    assert sorted(bad) == ["error", "id"]
    assert shown in bad["error"]
    assert "\n" not in bad["error"]
    assert good["id"] == "next"
    assert "error" not in good


@pytest.mark.parametrize(
    ("lines", "code"),
    [((), 3), ((record(),), 0), ((record(), b"{"), 3), ((b"{", record()), 3)],
)
def test_a_record_that_cannot_be_read_is_told_by_the_status(run, tmp_path, lines, code):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert run("predict", "--jsonl", path).code == code


def test_a_line_over_the_limit_is_one_bad_line(bulk, monkeypatch):
    """Nor is more than the limit of it held in memory."""
    monkeypatch.setattr("e820pool.kernel.predict_records.MAX_LINE_CHARS", 1000)
    exact = record("y").ljust(999)
    found = bulk(record("x", cmdline="a" * 5000), exact, record("z"))
    assert [line["id"] for line in found] == [None, "y", "z"]
    assert "over the limit 0x3e8" in found[0]["error"]


def test_keys_that_nobody_knows_are_ignored(bulk):
    one, other = bulk(record(), record(note="hand-made", ext=None, cmdline=None))
    assert one == other


def test_mem_limits_what_is_used(bulk):
    (line,) = bulk(record(cmdline="mem=64M"))
    assert max(addr + size for addr, size in line["memory"]) == 64 * MIB
    assert line["user_map"] is not None
