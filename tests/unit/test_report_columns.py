"""Rows as columns, and as blocks where there is no room for columns."""

from e820pool.report.columns import columns

ROWS = [("6.1", "safe", "-"), ("6.1.0-52-cloud-amd64", "\x1b[31munsafe\x1b[0m", "x, y")]
HEADERS = ("kernel", "verdict", "findings")


def test_paint_takes_no_room_and_no_line_ends_with_blanks():
    assert columns(ROWS, HEADERS).split("\n") == [
        "kernel                verdict    findings",
        "6.1                   safe       -",
        "6.1.0-52-cloud-amd64  \x1b[31munsafe\x1b[0m     x, y",
    ]


def test_numbers_end_at_the_same_place():
    text = columns([("a", 5), ("b", 1234567890)], ("part", "bytes"), right=(1,))
    assert text.split("\n") == [
        "part         bytes",
        "a                5",
        "b       1234567890",
    ]


def test_without_headers_columns_are_as_wide_as_their_cells():
    assert columns([("a", "b"), ("ccc", "d")]) == "a    b\nccc  d"


def test_only_headers_are_a_table_without_rows():
    assert columns([], HEADERS) == "kernel    verdict    findings"


def test_a_table_as_wide_as_its_place_stays_one():
    assert columns(ROWS, HEADERS, width=41) == columns(ROWS, HEADERS)


def test_the_last_column_goes_on_below_itself():
    rows = [
        ("6.1", "safe", "-"),
        ("7.3", "unsafe", "not-monotone, not-reserved, budget"),
    ]
    assert columns(rows, HEADERS, width=48).split("\n") == [
        "kernel    verdict    findings",
        "6.1       safe       -",
        "7.3       unsafe     not-monotone, not-reserved,",
        "                     budget",
    ]


def test_a_word_that_has_no_room_makes_it_blocks():
    rows = [("6.1", "unsafe", "touched-by-decompressor-of-kernel, x")]
    assert "    verdict:" not in columns(rows, HEADERS, width=55)
    assert columns(rows, HEADERS, width=54).startswith("kernel 6.1\n    verdict:")


def test_a_wider_table_becomes_a_block_a_row():
    assert columns(ROWS, HEADERS, width=40).split("\n") == [
        "kernel 6.1",
        "    verdict: safe",
        "    findings: -",
        "kernel 6.1.0-52-cloud-amd64",
        "    verdict: \x1b[31munsafe\x1b[0m",
        "    findings: x, y",
    ]


def test_a_table_without_rows_is_its_headers():
    assert columns([], ("base_pfn", "pages"), right=(1,)).split() == [
        "base_pfn",
        "pages",
    ]
