"""Sources are told apart by what they hold, and every wrong one is one line."""

import io
import json
import os
from pathlib import Path

import pytest
from rawbytes import zero_page

from e820pool.errors import BadImageError, InputError
from e820pool.sources import recognise
from e820pool.sources.files import INPUT_LIMIT
from e820pool.sources.recognise import read_live, read_map

ROWS = [(0, 0xA0000, 1), (0x100000, 0x7FF00000, 1), (0xFEC00000, 0x1000, 2)]
PAGE = zero_page(ROWS)
LOG = b"".join(
    b"BIOS-e820: [mem %#x-%#x] %s\n" % (a, a + s - 1, [b"usable", b"reserved"][t - 1])
    for a, s, t in ROWS
)
IOMEM = b"".join(
    b"%08x-%08x : %s\n" % (a, a + s - 1, [b"System RAM", b"Reserved"][t - 1])
    for a, s, t in ROWS
)
JSON = json.dumps({"schema": 1, "kind": "memory-map", "entries": ROWS}).encode()
FORMS = {"zero page": PAGE, "log": LOG, "iomem": IOMEM, "json": JSON}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_from_a_file_and_from_standard_input(form, tmp_path):
    path = tmp_path / "map"
    path.write_bytes(FORMS[form])
    found = read_map(str(path))
    assert found.rows() == ROWS
    assert found.origin.startswith(f"{path} (")
    assert read_map("-", stdin=io.BytesIO(FORMS[form])).rows() == ROWS


@pytest.mark.parametrize("form", ["log", "iomem", "json"])
def test_a_text_of_a_zero_page_s_length_is_a_text(form):
    data = FORMS[form] + b" " * (4096 - len(FORMS[form]))
    assert read_map("-", stdin=io.BytesIO(data)).rows() == ROWS


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n  \n"])
@pytest.mark.parametrize("form", ["log", "iomem", "json"])
def test_a_byte_order_mark_or_blanks_before_it_do_not_matter(form, before):
    assert read_map("-", stdin=io.BytesIO(before + FORMS[form])).rows() == ROWS


def test_a_log_with_some_line_noise_reads():
    noise = b"\x00\xff\xfe\x00garbage\x08\n"
    assert read_map("-", stdin=io.BytesIO(noise + LOG)).rows() == ROWS


def test_a_log_wins_over_an_iomem_text_in_one_file():
    found = read_map("-", stdin=io.BytesIO(IOMEM + LOG))
    assert "kernel log" in found.origin


def test_the_process_s_standard_input_is_what_minus_reads(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(JSON)

    monkeypatch.setattr("sys.stdin", Stdin)
    assert read_map("-").rows() == ROWS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"^'standard input' is empty: 0 bytes$"),
        (b"hello\n", "0x6 bytes of text without a memory map"),
        (b"[[0, 4096, 1]]", "text without a memory map"),
        (PAGE[:-1], "0xfff bytes of binary data.*boot_params of 0x1000 bytes"),
        (PAGE + b"\0", "0x1001 bytes of binary data"),
        (os.urandom(5000), "0x1388 bytes of binary data"),
        (b"\x7fELF" + bytes(100), "binary data"),
        (zero_page(ROWS, count=129), r"0x81 \(129\).*128"),
    ],
)
def test_what_holds_no_map_is_one_line(data, message):
    with pytest.raises(BadImageError, match=message):
        read_map("-", stdin=io.BytesIO(data))


@pytest.mark.parametrize("form", ["zero page", "json"])
def test_an_entry_that_wraps_shows_its_value_and_the_limit(form):
    rows = [*ROWS, ((1 << 64) - 4096, 8192, 2)]
    data = {
        "zero page": zero_page(rows),
        "json": json.dumps(
            {"schema": 1, "kind": "memory-map", "entries": rows}
        ).encode(),
    }[form]
    with pytest.raises(BadImageError) as caught:
        read_map("-", stdin=io.BytesIO(data))
    assert (
        "entry 3 at 0xfffffffffffff000 with size 0x2000 wraps: the limit of an entry's "
        "end is 0x10000000000000000" in str(caught.value)
    )


def test_an_entry_that_ends_at_the_very_end_is_noted():
    found = read_map(
        "-", stdin=io.BytesIO(zero_page([*ROWS, ((1 << 64) - 4096, 4096, 2)]))
    )
    assert "reaches-2-64" in {note.id for note in found.notes}


def test_an_input_beyond_the_limit_is_one_line():
    class Endless(io.RawIOBase):
        def read(self, size):
            return b"x" * size

    with pytest.raises(BadImageError, match=f"limit of {INPUT_LIMIT:#x} bytes"):
        read_map("-", stdin=Endless())


def test_a_text_of_absurdly_many_lines_is_one_line():
    with pytest.raises(
        BadImageError, match="has 0x200001 lines: the limit is 0x200000"
    ):
        read_map("-", stdin=io.BytesIO(b"\n" * 0x200001))


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot read '.*nofile': no such file"):
        read_map(str(tmp_path / "nofile"))


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_an_impossible_name_is_one_line(name):
    with pytest.raises(InputError, match="cannot read"):
        read_map(name)


def test_a_directory_of_another_shape_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadImageError, match="is a directory of another shape"):
        read_map(str(tmp_path))


def test_a_file_that_may_not_be_read_is_one_line(monkeypatch, tmp_path):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret").write_bytes(LOG)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"permission denied \(root may read it\)"):
        read_map(str(tmp_path / "secret"))


MORE = b"BIOS-e820: [mem 0x900000000-0x900000bff] usable\n"


def test_notes_of_the_reader_and_of_the_map_come_together():
    found = read_map("-", stdin=io.BytesIO(LOG.replace(b"0x9ffff", b"0x9fbff") + MORE))
    assert [note.id for note in found.notes] == [
        "no-headline",
        "end-unseen",
        "unaligned",
    ]


def test_ram_that_ends_inside_of_a_page_below_1_mib_is_no_news():
    found = read_map("-", stdin=io.BytesIO(LOG.replace(b"0x9ffff", b"0x9fbff")))
    assert [note.id for note in found.notes] == ["no-headline", "end-unseen"]


def test_a_note_is_told_once_however_often_a_map_is_rewritten():
    notes = [{"id": "few-entries", "level": "note", "message": "x"}]
    told = {"schema": 1, "kind": "memory-map", "entries": ROWS[:1], "notes": notes}
    found = read_map("-", stdin=io.BytesIO(json.dumps(told).encode()))
    again = read_map("-", stdin=io.BytesIO(json.dumps(told).encode()))
    assert [note.id for note in found.notes] == ["few-entries", "few-entries"]
    assert found.notes == again.notes


class TestLive:
    def test_the_first_place_that_shows_a_map_is_read(self, monkeypatch, tmp_path):
        (tmp_path / "data").write_bytes(PAGE)
        places = (str(tmp_path / "memmap"), str(tmp_path), "/nowhere")
        monkeypatch.setattr(recognise, "_LIVE", places)
        assert read_map("live").rows() == ROWS
        assert read_live().origin == f"{tmp_path}/data (boot_params)"

    def test_all_refusals_are_told(self, monkeypatch, tmp_path):
        places = (str(tmp_path / "a"), str(tmp_path / "b"))
        monkeypatch.setattr(recognise, "_LIVE", places)
        with pytest.raises(InputError, match=r"shows no map: cannot read '.*a'.*'.*b'"):
            read_live()

    def test_a_file_of_that_name_has_a_path(self, monkeypatch, tmp_path):
        (tmp_path / "live").write_bytes(LOG)
        monkeypatch.chdir(tmp_path)
        assert read_map("./live").rows() == ROWS

    @pytest.mark.skipif(
        not os.access("/sys/firmware/memmap/0/start", os.R_OK),
        reason="needs /sys/firmware/memmap and root",
    )
    def test_this_machine_has_ram(self):
        assert any(kind == 1 for _, _, kind in read_map("live").rows())
