"""Of a log too long to be held, what names a map is found, with its line numbers."""

import io
import resource

import printers
import pytest

from e820pool.errors import BadImageError
from e820pool.sources import recognise
from e820pool.sources.dmesg import read_dmesg
from e820pool.sources.files import INPUT_LIMIT
from e820pool.sources.log_text import Piece
from e820pool.sources.log_windows import chunks_of, log_windows
from e820pool.sources.recognise import read_map

ROWS = [(0, 0x9F000, 1), (0x100000, 0x7FF00000, 1), (0xFEC00000, 0x1000, 2)]
WORDS = {1: b"usable", 2: b"reserved"}
ENTRIES = b"".join(
    b"BIOS-e820: [mem %#018x-%#018x] %s\n" % (addr, addr + size - 1, WORDS[kind])
    for addr, size, kind in ROWS
)
MAP = b"BIOS-provided physical RAM map:\n" + ENTRIES + b"NX protection\n"
OTHER = b"[   12.345678] usb 1-1: new high-speed USB device number 5\n"


def pieces(text, sizes=(1 << 20,)):
    stream = io.BytesIO(text)

    def chunks():
        at = 0
        while chunk := stream.read(sizes[at % len(sizes)]):
            at += 1
            yield chunk

    return list(log_windows(chunks()))


@pytest.mark.parametrize("sizes", [(1 << 20,), (4096,), (100, 1, 7000), (1,)])
@pytest.mark.parametrize("before", [0, 3, 2000])
def test_a_map_is_found_with_its_line_numbers(sizes, before):
    text = OTHER * before + MAP + OTHER * 1500
    found = pieces(text, sizes)
    lines = text.decode().split("\n")
    for number, part in found:
        rows = part.split("\n")[:-1]
        assert rows == lines[number - 1 : number - 1 + len(rows)]
    assert [n for n, _ in found] == sorted({n for n, _ in found})
    assert read_dmesg(found).rows() == ROWS
    held = sum(len(part) for _, part in found)
    assert held < len(text) / 2 or before < 2000


def test_a_text_without_a_map_has_no_parts():
    assert pieces(OTHER * 5000) == []
    assert pieces(b"") == []


def test_a_map_that_is_everywhere_is_read_whole():
    text = (MAP + OTHER * 10) * 300
    found = pieces(text, (1000,))
    assert "".join(part for _, part in found) == text.decode()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
def test_every_encoding_becomes_one(encoding):
    data = (OTHER + MAP).decode().encode(encoding)
    assert b"".join(chunks_of(io.BytesIO(data))) == OTHER + MAP
    assert b"".join(chunks_of(io.BytesIO(data[64:]), data[:64])) == OTHER + MAP


def test_a_line_without_end_is_cut_somewhere():
    text = b"x" * (40 << 20) + b"\n" + MAP
    assert read_dmesg(log_windows(chunks_of(io.BytesIO(text)))).rows() == ROWS


class Repeated(io.RawIOBase):
    """A stream of many times the same bytes, which are in memory once."""

    def __init__(self, *parts):
        self.parts = list(parts)
        self.rest = b""

    def read(self, size=-1):
        while len(self.rest) < size and self.parts:
            unit, count = self.parts[0]
            take = min(count, max(size // len(unit), 1))
            self.rest += unit * take
            self.parts[0] = (unit, count - take)
            if count == take:
                self.parts.pop(0)
        found, self.rest = self.rest[:size], self.rest[size:]
        return found


def test_a_log_longer_than_the_limit_is_read_from_standard_input():
    count = INPUT_LIMIT // len(OTHER) + 1000
    stream = Repeated((OTHER, count), (MAP, 1), (OTHER, count))
    found = read_map("-", stdin=stream)
    assert found.rows() == ROWS
    assert found.notes == ()


def test_a_log_longer_than_the_limit_is_read_from_a_file(tmp_path):
    path = tmp_path / "large.log"
    with path.open("wb") as stream:
        stream.write(OTHER * 1000 + MAP)
        for _ in range(INPUT_LIMIT // len(OTHER) // 10_000 + 1):
            stream.write(OTHER * 10_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_map(str(path)).rows() == ROWS
    # 40 MiB, in KiB: a chunk, twice, and what is around the map.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10


@pytest.mark.parametrize("unit", [b"\0" * 4096, b"x" * 4096])
def test_what_is_long_and_no_log_is_refused(unit):
    with pytest.raises(BadImageError, match=f"limit of {INPUT_LIMIT:#x} bytes and no"):
        read_map("-", stdin=Repeated((unit, INPUT_LIMIT // 4096 + 2)))


def test_boots_of_one_machine_are_kept_once():
    found = read_dmesg([Piece(1, MAP.decode() * 2000)])
    assert found.rows() == ROWS
    assert found.notes[0].message.startswith("2000 boots show a map, all the same")


FILLER = (
    b"Mar 03 09:11:02 host systemd[1]: Started Session 12 of user root and no map.\n"
)
IOMEM = "".join(
    f"{a:08x}-{a + s - 1:08x} : {'System RAM' if t == 1 else 'Reserved'}\n"
    for a, s, t in printers.ROWS
)


@pytest.mark.parametrize("name", ["iomem", *printers.FORMS])
def test_a_map_of_any_form_is_seen_in_a_long_text_that_names_another(name):
    write, rows = printers.FORMS.get(name, (lambda _: IOMEM, printers.ROWS))
    filler = FILLER * 28_000
    data = b"e820: no map\n" + filler + write(rows).encode() + filler
    assert len(data) > 4 << 20
    found = read_map("-", stdin=io.BytesIO(data))
    assert [row[:2] for row in found.rows()] == [row[:2] for row in rows]


def test_a_map_of_another_program_is_seen_in_a_log_that_is_not_held(monkeypatch):
    monkeypatch.setattr(recognise, "INPUT_LIMIT", 1 << 20)
    write, rows = printers.FORMS["xen"]
    filler = FILLER * 20_000
    data = filler + write(rows).encode() + filler
    assert read_map("-", stdin=io.BytesIO(data)).rows() == list(rows)
    with pytest.raises(BadImageError, match="near to the word e820") as caught:
        read_map("-", stdin=io.BytesIO(filler + b"e820: none\n" + filler))
    assert str(caught.value).isprintable()


def test_a_line_longer_than_a_chunk_counts_once():
    text = b"x" * 300_000 + b"\n" + b"y\n" * 200_000 + b"BIOS-e820: one\n"
    last = list(log_windows(chunks_of(io.BytesIO(text))))[-1]
    lines = last.text.split("\n")
    assert last.number + lines.index("BIOS-e820: one") == 200_002
