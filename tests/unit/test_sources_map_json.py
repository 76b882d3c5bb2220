"""The package's own JSON of a map: strict, and one line for each fault."""

import json

import pytest

from e820pool.errors import BadImageError
from e820pool.sources.map_json import read_long_map_json, read_map_json

ROWS = [[0, 654336, 1], [1048576, 1 << 40, 0xEFFFFFFF]]
GOOD = {"schema": 1, "kind": "memory-map", "entries": ROWS}


def text(**changes):
    return json.dumps({k: v for k, v in (GOOD | changes).items() if v is not ...})


def test_entries_come_in_their_order():
    found = read_map_json(text(entries=ROWS[::-1]), origin="x")
    assert found.rows() == [tuple(row) for row in ROWS[::-1]]
    assert found.origin == "x (JSON)"


def test_the_largest_numbers_fit():
    rows = [[(1 << 64) - 1, (1 << 64) - 1, (1 << 32) - 1]]
    assert read_map_json(text(entries=rows)).rows() == [tuple(rows[0])]


def test_other_keys_are_for_others():
    assert len(read_map_json(text(machine="x", more=[1]))) == 2


def test_notes_and_origin_are_kept():
    notes = [{"id": "unaligned", "level": "note", "message": "said\nbefore"}]
    found = read_map_json(text(notes=notes, origin="a log"), origin="x")
    assert [(n.id, n.level, n.message) for n in found.notes] == [
        ("unaligned", "note", "said?before")
    ]
    assert found.origin == "x (JSON of a log)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "'x' has schema 0x2: this version reads 0x1"),
        ({"schema": 0}, "'x' has schema 0x0"),
        ({"schema": ...}, "'x': schema is missing"),
        ({"schema": True}, "schema is boolean"),
        ({"schema": "1"}, "schema is string"),
        ({"kind": "pool"}, "'x' is of kind 'pool', not 'memory-map'"),
        ({"kind": None}, "is of kind None"),
        ({"entries": ...}, "'x': entries is missing"),
        ({"entries": {}}, "entries is {}: want an array"),
        ({"entries": [[0, 1]]}, r"entries\[0\] is \[0, 1\]: want an array of length 3"),
        ({"entries": [[0, 1, 2, 3]]}, r"entries\[0\]"),
        ({"entries": [ROWS[0], "x"]}, r"entries\[1\] is 'x'"),
        (
            {"entries": [["0x0", 1, 1]]},
            r"\[0\]\[0\] is '0x0': want a whole",
        ),
        ({"entries": [[0, 1.0, 1]]}, r"entries\[0\]\[1\] is 1.0"),
        ({"entries": [[0, 1, None]]}, r"entries\[0\]\[2\] is None"),
        ({"entries": [[0, 1, True]]}, r"entries\[0\]\[2\] is True"),
        (
            {"entries": [[-1, 1, 1]]},
            r"\[0\]\[0\] is -1: want a whole number >= 0",
        ),
        ({"entries": [[1 << 64, 1, 1]]}, "0x10000000000000000 is beyond the limit 0xf"),
        ({"entries": [[0, 1 << 64, 1]]}, "0x10000000000000000 is beyond the limit 0xf"),
        ({"entries": [[0, 1, 1 << 32]]}, "want a whole number <= 4294967295"),
        ({"notes": {}}, "notes is {}: want an array"),
        ({"notes": [{"id": "x"}]}, r"notes\[0\].level is missing"),
        ({"notes": [{"id": "x", "level": "note"}]}, r"notes\[0\].message is missing"),
        ({"origin": 5}, "origin is 5: want text"),
    ],
)
def test_a_document_of_another_form_is_one_line(changes, message):
    with pytest.raises(BadImageError, match=message):
        read_map_json(text(**changes), origin="x")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        (text()[:-1], "is not JSON"),
        (text() + "{}", "is not JSON: Extra data"),
        ("[]", "holds a JSON array, not an object"),
        ("null", "holds a JSON null"),
        ('{"schema": NaN}', "NaN is no number"),
        ('{"schema": 1, "schema": 1}', "key 'schema' is given twice"),
        ('{"schema": ' + "9" * 5000 + "}", "a number of 5000 digits, the limit is 32"),
        ('{"schema": ' + "[" * 200_000, "nested too deeply"),
        # As deep as the reader goes, and deeper than a text is looked for.
        (text(x="\n")[:-1] + ', "y": ' + "[" * 700 + "]" * 700 + "}", "too deeply"),
    ],
)
def test_what_is_no_json_of_ours_is_one_line(raw, message):
    with pytest.raises(BadImageError, match=message) as caught:
        read_map_json(raw, origin="x")
    assert "\n" not in str(caught.value)


MANY = [[n << 12, 4096, 1 + n % 7] for n in range(20_000)]
NOTE = {"id": "unaligned", "level": "note", "message": "said before"}


class TestLong:
    """The rows of a long document are read without the rest, to the same map."""

    @pytest.mark.parametrize("indent", [None, 0, 3])
    @pytest.mark.parametrize("rows", [[], ROWS, MANY, [[(1 << 64) - 1, 1, 7]]])
    def test_it_is_the_same_map(self, rows, indent):
        value = GOOD | {"entries": rows, "notes": [NOTE], "origin": "a log"}
        whole = json.dumps(value, indent=indent)
        found, other = read_long_map_json(whole, origin="x"), read_map_json(whole)
        assert found.rows() == other.rows() == [tuple(row) for row in rows]
        assert found.notes == other.notes
        assert found.origin == "x (JSON of a log)"

    @pytest.mark.parametrize(
        "entries",
        [
            *("[[0,1,2],]", "[[0,1,2],,[0,1,2]]", "[,[0,1,2]]", "[[0,1,2]"),
            *("[[0,1,2] [0,1,2]]", "[[[0,1,2]]]", "[[0,1,2]]]", "[0,1,2]", "[[0,1]]"),
            *("[[0,1,2,3]]", "[[01,1,2]]", "[[0,1,2.0]]", "[[0,1,true]]", "[[0,-1,2]]"),
            *("[[0,1,4294967296]]", "[[18446744073709551616,1,1]]", '[["0",1,1]]'),
            *("[[0,1,\u0661]]", '[[0,1,2]],"entries":[[0,1,2]]'),
            "[" + "[0,1,1]," * 20_000 + "[0,1]]",
        ],
    )
    def test_what_is_odd_is_left_to_the_strict_reader(self, entries):
        text = f'{{"schema":1,"kind":"memory-map","entries":{entries}}}'
        assert read_long_map_json(text) is None

    @pytest.mark.parametrize(
        "text",
        [
            '{"kind":"memory-map","entries":[[0,1,1]]}',
            '{"schema":1,"kind":"pool","entries":[[0,1,1]]}',
            '{"schema":1,"kind":"memory-map","notes":[{"entries":[[0,1,1]]}]}',
            '{"schema":1,"kind":"memory-map","origin":"\\u0041","entries":[[0,1,1]]}',
            "{}",
        ],
    )
    def test_so_is_another_document(self, text):
        assert read_long_map_json(text) is None
