"""What is odd in a map's entries, whatever they were read from."""

import pytest

from e820pool.abi.e820 import table_of
from e820pool.sources.oddities import oddities
from e820pool.type_words import TYPE_WITHOUT_NUMBER

PLAIN = [(0, 0xA0000, 1), (0x100000, 0x100000, 2)]


def told(rows):
    return {note.id: note.message for note in oddities(table_of(rows))}


def test_a_plain_map_has_none():
    assert told(PLAIN) == {}


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 7, 12, 128, 0xEFFFFFFF])
def test_a_type_that_kernels_know_is_not_odd(kind):
    assert told([*PLAIN, (0x200000, 0x1000, kind)]) == {}


@pytest.mark.parametrize(
    ("rows", "id_", "words"),
    [
        ([(0, 4096, 1)], "few-entries", "has 1 entry"),
        ([(0, 4096, 2), (4096, 4096, 2)], "no-ram", "no entry is RAM"),
        ([*PLAIN, (0x300000, 0x800, 1)], "unaligned", "1 RAM and 0 other"),
        ([*PLAIN, (0x300800, 0x1000, 2)], "unaligned", "0 RAM and 1 other"),
        (PLAIN[::-1], "out-of-order", "first entry 1 [mem 0x0-0x9ffff], usable"),
        ([*PLAIN, (0x1FF000, 0x2000, 2)], "overlap", "entry 2 [mem 0x1ff000-0x200fff]"),
        ([*PLAIN, (0x300000, 0, 2)], "empty-entry", "first at 0x300000"),
        ([*PLAIN, ((1 << 64) - 4096, 4096, 2)], "reaches-2-64", "1 entry up to 2^64"),
        ([*PLAIN, (0x200000, 0x1000, 20)], "unknown-type", "(0x14)"),
        ([*PLAIN, (0x200000, 0x1000, 0)], "unknown-type", "(0x0)"),
        (
            [*PLAIN, (0x200000, 0x1000, TYPE_WITHOUT_NUMBER)],
            "type-without-number",
            "0xfffffffe",
        ),
    ],
)
def test_each_oddity_has_its_id_and_shows_its_values(rows, id_, words):
    found = told(rows)
    assert list(found) == [id_]
    assert words in found[id_]


def test_many_unknown_types_are_one_note():
    rows = [*PLAIN, *((0x200000 + n * 4096, 4096, 100 + n) for n in range(9))]
    assert "9 entries" in told(rows)["unknown-type"]
    assert "0x6b, ...)" in told(rows)["unknown-type"]


def test_touching_entries_do_not_overlap():
    assert told([(0, 0x100000, 1), (0x100000, 0x1000, 2), (0x101000, 0x1000, 1)]) == {}


def test_an_entry_overlaps_one_far_before_it():
    rows = [(0, 1 << 40, 1), (0x1000, 0x1000, 2), (1 << 39, 0x1000, 2)]
    assert told(rows)["overlap"].startswith("2 entries over lower ones")


def test_an_empty_map_is_told():
    assert set(told([])) == {"few-entries", "no-ram"}
