"""The bulk form: keys, order, streaming, and lines that cannot be read."""

import json
from itertools import count, islice

import pytest

from e820pool.errors import InputError
from e820pool.kernel.predict_records import predict_line, predict_lines, predict_record

M = 1 << 20
ROWS = [[0, 0x9F000, 1], [0x9F000, 0x61000, 2], [M, 511 * M, 1]]
KEYS = ["id", "map_source", "bios_map", "extended_map", "user_map", "memory"]
KEYS += ["dropped", "fatal"]
TOP = (1 << 64) - 1


def record(**fields):
    return {"id": "x", "kernel": "6.1", "e820": ROWS} | fields


def answer(**fields):
    return json.loads(predict_line(json.dumps(record(**fields))))


def test_the_answer_has_the_keys_of_the_contract_in_order():
    assert list(answer()) == KEYS


def test_a_whole_record_is_answered():
    got = answer(
        ext=[[600 * M, M, 1]],
        cmdline="memmap=1M$8M",
        kernel_range=[16 * M, 48 * M],
        setup_data=[[4 * M, 64, 1]],
        config={"NODES_SHIFT": 6},
    )
    assert got["bios_map"] == ROWS
    assert got["extended_map"] == [*ROWS, [600 * M, M, 1]]
    assert [8 * M, M, 2] in got["user_map"]
    assert [4 * M, 64, 1] in got["user_map"]
    assert got["memory"][-1] == [600 * M, M]
    assert got["dropped"] == []
    assert got["fatal"] is None


def test_what_is_left_out_or_null_counts_as_empty():
    null = dict.fromkeys(
        ("ext", "cmdline", "kernel_range", "setup_data", "config"), None
    )
    assert answer(**null) == answer()
    assert answer()["extended_map"] is answer()["user_map"] is None


def test_entries_beyond_128_go_to_ext():
    rows = [[n * 2 * M, M, 1] for n in range(130)]
    got = answer(e820=rows, ext=[[1 << 40, M, 1]])
    assert got["bios_map"] == rows[:128]
    assert got["extended_map"] == [*rows, [1 << 40, M, 1]]


def test_type_128_prints_as_the_kernel_prints_it():
    rows = [*ROWS, [600 * M, M, 128], [700 * M, M, 1]]
    assert [600 * M, M, 1] in answer(e820=rows)["bios_map"]
    assert [600 * M, M, 128] in answer(e820=rows, kernel="6.18")["bios_map"]
    # A dropped row keeps its own type.
    one = answer(e820=[[M, M, 128]])
    assert one["dropped"] == [[M, M, 128]]


def test_a_death_after_memory_is_set_up_is_not_fatal_here():
    got = answer(e820=[*ROWS, [TOP - 0xFFF, 0x1000, 2]])
    assert got["fatal"] is None
    assert got["memory"]
    assert answer(cmdline="memmap=exactmap")["fatal"]


def test_bytes_and_text_are_the_same():
    line = json.dumps(record())
    assert predict_line(line) == predict_line(line.encode())


def test_a_command_line_is_bytes_to_a_kernel():
    # The Latin-1 space inside of UTF-8 is a space to the kernel.
    assert answer(cmdline="a\u00a0mem=64M")["user_map"] is not None
    assert answer(cmdline="a\u20acmem=64M")["user_map"] is None


def test_lines_are_answered_one_by_one():
    def endless():
        for n in count():
            yield json.dumps(record(id=n))

    got = [json.loads(line)["id"] for line in islice(predict_lines(endless()), 5)]
    assert got == [0, 1, 2, 3, 4]


BAD = [
    ("", None, "not JSON"),
    ("\n", None, "not JSON"),
    ("{", None, "not JSON"),
    (b"\xff\xfe", None, "not JSON"),
    ("[1]", None, "list"),
    ("null", None, "NoneType"),
    ("[" * 100_000, None, "not JSON"),
    ('{"id": NaN}', None, "NaN"),
    ('{"id": [1]}', None, "id"),
    ('{"id": true}', None, "id"),
    ('{"id": 1e999}', None, "id"),
    ('{"id": 5}', 5, "kernel is missing"),
    (json.dumps(record(kernel="9.9")), "x", "kernel not known"),
    (json.dumps(record(kernel=6.1)), "x", "kernel 6.1"),
    (json.dumps(record(e820={})), "x", "e820"),
    (json.dumps(record(e820=[1])), "x", "e820[0]"),
    (json.dumps(record(e820=[[0, 1]])), "x", "e820[0]"),
    (json.dumps(record(e820=[[0, 1, 2, 3]])), "x", "e820[0]"),
    (json.dumps(record(e820=[*ROWS, ["0", 1, 2]])), "x", "e820[3]"),
    (json.dumps(record(e820=[[0, 1.0, 2]])), "x", "e820[0]"),
    (json.dumps(record(e820=[[0, True, 2]])), "x", "e820[0]"),
    (json.dumps(record(e820=[[-1, 1, 2]])), "x", "e820[0]"),
    (json.dumps(record(e820=[[TOP + 1, 1, 2]])), "x", "e820[0]"),
    (json.dumps(record(e820=[[0, TOP + 1, 2]])), "x", "e820[0]"),
    (json.dumps(record(e820=[[0, 1, 1 << 32]])), "x", "e820[0]"),
    (json.dumps(record(ext=[[0, 1, -1]])), "x", "ext[0]"),
    (json.dumps(record(ext="none")), "x", "ext"),
    (json.dumps(record(cmdline=5)), "x", "cmdline"),
    (json.dumps(record(cmdline="\ud800")), "x", "cmdline"),
    (json.dumps(record(kernel_range=[1])), "x", "kernel_range"),
    (json.dumps(record(kernel_range=[2, 1])), "x", "kernel_range"),
    (json.dumps(record(kernel_range=[0, TOP + 1])), "x", "kernel_range"),
    (json.dumps(record(kernel_range=[True, 5])), "x", "kernel_range"),
    (json.dumps(record(setup_data=[[1, 2]])), "x", "setup_data[0]"),
    (json.dumps(record(config=[])), "x", "config"),
    (json.dumps(record(config={"NODES_SHIFT": 99})), "x", "NODES_SHIFT"),
    (
        '{"id": "x", "kernel": "6.1", "e820": [[0, ' + "9" * 5000 + ", 1]]}",
        None,
        "JSON",
    ),
]


@pytest.mark.parametrize(("line", "ident", "message"), BAD)
def test_a_bad_line_says_what_is_wrong_with_it(line, ident, message):
    got = json.loads(predict_line(line))
    assert list(got) == ["id", "error"]
    assert got["id"] == ident
    assert message in got["error"]
    assert len(got["error"]) < 260
    assert "\n" not in got["error"]


def test_the_run_goes_on_after_a_bad_line():
    lines = [predict_line(json.dumps(record(id="a"))), "{", "x"]
    got = list(predict_lines([json.dumps(record(id="a")), "{", json.dumps(record())]))
    assert got[0] == lines[0]
    assert "error" in got[1]
    assert json.loads(got[2])["id"] == "x"


def test_a_record_may_hold_tuples():
    rows = tuple(map(tuple, ROWS))
    assert predict_record(record(e820=list(rows)))["bios_map"] == rows


def test_a_bad_record_raises():
    with pytest.raises(InputError, match="kernel is missing"):
        predict_record({"e820": []})
