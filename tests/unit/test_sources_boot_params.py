"""Zero pages, alone and with the setup_data beside them."""

import pytest
from rawbytes import e820_table, zero_page

from e820pool.errors import BadImageError
from e820pool.sources.boot_params_file import map_of_boot_params
from e820pool.sources.recognise import read_map

ROWS = [(0, 0x9FC00, 1), (0x100000, 0x7FF00000, 1)]
MORE = [(0x1_0000_0000, 0x1000, 2), (0x1_0000_1000, 0x1000, 1)]


def ids(found):
    return [note.id for note in found.notes]


def sysfs(path, page, nodes):
    (path / "data").write_bytes(page)
    for number, (kind, payload) in enumerate(nodes):
        node = path / "setup_data" / str(number)
        node.mkdir(parents=True)
        (node / "type").write_text(f"{kind:#x}\n")
        (node / "data").write_bytes(payload)
    return path


def test_a_page_gives_its_entries_as_written():
    rows = [(0x100000, 0x1000, 1), (0, 0x2000, 1), (0x1000, 0, 2)]
    found = map_of_boot_params(zero_page(rows), origin="x")
    assert found.rows() == rows
    assert found.notes == ()


def test_a_full_page_gives_128_entries():
    rows = [(n << 20, 0x1000, 1) for n in range(128)]
    assert map_of_boot_params(zero_page(rows)).rows() == rows


@pytest.mark.parametrize("count", [129, 255])
def test_a_count_above_128_is_refused(count):
    with pytest.raises(BadImageError, match=rf"{count:#x}.*128"):
        map_of_boot_params(zero_page(ROWS, count=count))


def test_a_page_without_entries_is_no_map():
    with pytest.raises(BadImageError, match="e820_entries is 0x0"):
        map_of_boot_params(zero_page([]))


@pytest.mark.parametrize("size", [0, 1, 4095, 4097, 1 << 16])
def test_another_length_is_refused(size):
    with pytest.raises(BadImageError, match=rf"{size:#x} bytes.*0x1000"):
        map_of_boot_params(bytes(size))


def test_a_page_of_pvh_has_no_magic_and_reads():
    assert map_of_boot_params(zero_page(ROWS, header=0)).rows() == ROWS


def test_noise_without_magic_is_no_page():
    rows = [(0xDEAD_BEEF_0000_0000, 0x1000, 1)]
    with pytest.raises(BadImageError, match=r"'x' is no boot_params.*0xdeadbeef0000"):
        map_of_boot_params(zero_page(rows, header=0), origin="x")
    assert map_of_boot_params(zero_page(rows)).rows() == rows


def test_a_chain_that_is_not_at_hand_is_told():
    found = map_of_boot_params(zero_page(ROWS, setup_data=0x8000))
    assert ids(found) == ["setup-data-unread"]
    assert "0x8000" in found.notes[0].message


@pytest.mark.parametrize("source", ["", "data"])
def test_ext_entries_beside_a_page_follow_its_own(tmp_path, source):
    nodes = [
        (9, b"seed"),
        (1, e820_table(MORE[:1])),
        (1, e820_table(MORE[1:])),
        (7, b""),
    ]
    sysfs(tmp_path, zero_page(ROWS, setup_data=0x8000), nodes)
    found = read_map(str(tmp_path / source))
    assert found.rows() == ROWS + MORE
    assert "setup-data-unread" not in ids(found)


def test_nodes_come_in_the_order_of_their_numbers(tmp_path):
    rows = [((n + 1) << 32, 0x1000, 2) for n in range(12)]
    sysfs(tmp_path, zero_page(ROWS), [(1, e820_table([row])) for row in rows])
    assert read_map(str(tmp_path)).rows() == ROWS + rows


def test_what_is_left_over_of_a_payload_is_told_and_ignored(tmp_path):
    sysfs(tmp_path, zero_page(ROWS), [(1, e820_table(MORE) + b"1234567")])
    found = read_map(str(tmp_path))
    assert found.rows() == ROWS + MORE
    assert "0x2f bytes: the last 7" in found.notes[0].message


def test_a_node_whose_type_is_no_number_is_refused(tmp_path):
    sysfs(tmp_path, zero_page(ROWS), [(1, b"")])
    (tmp_path / "setup_data/0/type").write_text("ext\n")
    with pytest.raises(BadImageError, match="'ext', no number"):
        read_map(str(tmp_path))
