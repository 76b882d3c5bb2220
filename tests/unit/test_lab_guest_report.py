"""Reports as a guest writes them, whole and cut."""

import base64
import contextlib
import hashlib
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool.errors import BadImageError
from e820pool.lab.guest_report import has_mark, parse_guest_report


def frame(name, content, *, size=None, digest=None):
    size = len(content) if size is None else size
    digest = digest or hashlib.sha256(content).hexdigest()
    lines = textwrap.wrap(base64.b64encode(content).decode(), 76)
    return "\n".join(
        [f"begin {name} {size} {digest}", *lines, f"end {name}\n"]
    ).encode()


WHOLE = (
    b"mark hello\n"
    + frame("iomem", b"00000000-00000fff : Reserved\n")
    + frame("setup_data/0/type", b"0x504d4e4f\n")
    + frame("setup_data/0/data", bytes(range(256)))
    + frame("setup_data/10/type", b"0x1\n")
    + frame("setup_data/10/data", b"")
    + frame(
        "memmap",
        b"./1/start:0x100000\n./1/end:0xfffffff\n./1/type:System RAM\n"
        b"./0/end:0x9efff\n./0/start:0x0\n./0/type:Reserved\n",
    )
    + b"mark reported\nmark done\n"
)


def test_a_whole_report_gives_files_marks_and_nodes():
    report = parse_guest_report(WHOLE)
    assert report.marks == ("hello", "reported", "done")
    assert report.is_complete
    assert report.text("iomem") == "00000000-00000fff : Reserved\n"
    assert report.setup_data() == ((0x504D4E4F, bytes(range(256))), (1, b""))
    assert report.firmware_memmap() == (
        (0, 0x9F000, "Reserved"),
        (0x100000, 0xFF00000, "System RAM"),
    )


def test_line_noise_before_a_line_and_carriage_returns_do_no_harm():
    noisy = b"\x00\xff" + WHOLE.replace(b"\n", b"\r\n")
    report = parse_guest_report(noisy)
    assert report.marks[0] == "hello"
    assert report.frames == parse_guest_report(WHOLE).frames


@given(st.integers(0, len(WHOLE) - 1))
def test_a_report_cut_anywhere_holds_only_whole_files_and_is_not_complete(cut):
    report = parse_guest_report(WHOLE[:cut])
    whole = parse_guest_report(WHOLE)
    assert report.frames.items() <= whole.frames.items()
    # The newline after the last mark is all that may be missing.
    assert report.is_complete == (cut == len(WHOLE) - 1)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (frame("iomem", b"abc", size=4), "do not match its header"),
        (frame("iomem", b"abc", digest="0" * 64), "do not match its header"),
        (frame("iomem", b"abc").replace(b"YWJj", b"Y*Jj"), "is not base64"),
        (frame("iomem", b"", size=1 << 28), "the limit is 0x8000000"),
    ],
)
def test_a_file_that_is_not_what_its_header_says_is_refused(bad, words):
    with pytest.raises(BadImageError, match=words):
        parse_guest_report(bad)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_report_or_a_bad_image(data):
    with contextlib.suppress(BadImageError):
        parse_guest_report(data).firmware_memmap()


def test_a_mark_counts_when_its_line_is_whole():
    assert has_mark(b"noise mark hello\n", "hello")
    assert not has_mark(b"mark hello", "hello")


def test_a_kernel_without_firmware_memmap_has_none():
    assert parse_guest_report(b"mark done\n").firmware_memmap() is None
    with pytest.raises(BadImageError, match="memmap line"):
        parse_guest_report(frame("memmap", b"./x/start:0\n")).firmware_memmap()
