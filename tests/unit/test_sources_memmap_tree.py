"""Trees shaped as /sys/firmware/memmap."""

import pytest

from e820pool.errors import BadImageError, InputError
from e820pool.sources.firmware_memmap import is_memmap_tree, read_memmap_tree
from e820pool.type_words import TYPE_WITHOUT_NUMBER


def tree(path, rows):
    for number, (start, end, kind) in rows.items():
        entry = path / str(number)
        entry.mkdir(parents=True)
        for name, text in (("start", start), ("end", end), ("type", kind)):
            if text is not None:
                (entry / name).write_text(f"{text}\n")
    return path


def test_entries_come_in_the_order_of_their_numbers(tmp_path):
    rows = {n: (hex(n << 12), hex((n << 12) + 0xFFF), "Reserved") for n in range(12)}
    rows[0] = ("0x0", "0x9fbff", "System RAM")
    found = read_memmap_tree(tree(tmp_path, rows), origin="x")
    assert found.rows()[0] == (0, 0x9FC00, 1)
    assert found.rows()[9:] == [(n << 12, 0x1000, 2) for n in (9, 10, 11)]
    assert found.notes == ()
    assert found.origin == "x (firmware memmap tree)"


def test_ends_are_inclusive_up_to_the_last_byte(tmp_path):
    rows = {0: ("0xfffffffffffff000", "0xffffffffffffffff", "Reserved")}
    assert read_memmap_tree(tree(tmp_path, rows)).rows() == [
        ((1 << 64) - 4096, 4096, 2)
    ]


def test_an_empty_range_ends_before_it_starts(tmp_path):
    rows = {0: ("0x1000", "0xfff", "Reserved"), 1: ("0x0", "0x0", "System RAM")}
    assert read_memmap_tree(tree(tmp_path, rows)).rows() == [(4096, 0, 2), (0, 1, 1)]


def test_a_name_no_kernel_has_is_told_and_never_ram(tmp_path):
    rows = {0: ("0x0", "0xfff", "system ram"), 1: ("0x1000", "0x1fff", "System RAM")}
    found = read_memmap_tree(tree(tmp_path, rows))
    assert [kind for _, _, kind in found.rows()] == [TYPE_WITHOUT_NUMBER, 1]
    assert "'system ram'" in found.notes[0].message


def test_the_kernel_s_own_unknown_type_is_no_odd_name(tmp_path):
    rows = {0: ("0x0", "0xfff", "Unknown E820 type")}
    found = read_memmap_tree(tree(tmp_path, rows))
    assert found.rows() == [(0, 4096, TYPE_WITHOUT_NUMBER)]
    assert found.notes == ()


def test_a_number_that_is_missing_is_told(tmp_path):
    rows = {0: ("0x0", "0xfff", "Reserved"), 2: ("0x2000", "0x2fff", "Reserved")}
    found = read_memmap_tree(tree(tmp_path, rows))
    assert "2 entries and no number 1" in found.notes[0].message


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        (("0x2000", "0x1000", "Reserved"), BadImageError, "0x1000, before its 0x2000"),
        (("nine", "0x1000", "Reserved"), BadImageError, "'nine', no number"),
        (("-0x5", "0x1000", "Reserved"), BadImageError, "limit is 0x1000000000000000"),
        (("0x0", "0x1" + "0" * 17, "Reserved"), BadImageError, "limit is 0x1000000"),
        (("0x0", "", "Reserved"), BadImageError, "'', no number"),
        ((None, "0x1000", "Reserved"), InputError, "cannot read .*start.*no such file"),
        (("0x0", "0x1000", None), InputError, "cannot read .*type.*no such file"),
        (("0x0", "0x1000", "x" * 5000), BadImageError, "longer than .* 0x1000 bytes"),
    ],
)
def test_an_entry_that_is_no_range_is_one_line(tmp_path, row, error, message):
    with pytest.raises(error, match=message):
        read_memmap_tree(tree(tmp_path, {0: row}))


def test_a_directory_without_entries_is_no_tree(tmp_path):
    assert not is_memmap_tree(tmp_path)
    with pytest.raises(BadImageError, match="has no entry 0/"):
        read_memmap_tree(tmp_path, origin="x")
    assert is_memmap_tree(tree(tmp_path, {3: ("0x0", "0x1", "Reserved")}))


def test_names_that_are_no_numbers_do_not_matter(tmp_path):
    tree(tmp_path, {0: ("0x0", "0xfff", "Reserved")})
    (tmp_path / "power").mkdir()
    (tmp_path / "\u0663").mkdir()
    (tmp_path / ("1" * 30)).mkdir()
    assert len(read_memmap_tree(tmp_path)) == 1
