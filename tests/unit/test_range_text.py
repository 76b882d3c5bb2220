"""Ranges are read as people write them; what can be read in two ways is refused."""

import pytest

from e820pool.errors import InputError
from e820pool.range_text import parse_range, parse_size, read_range

MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0x40000000-0x401fffff",
            "0x40000000+0x200000",
            "1G+2M",
            "1g+2m",
            " 1G + 2M ",
        ),
        *(
            "[mem 0x40000000-0x401fffff] usable",
            "[mem 0x40000000-0x401fffff]  System RAM",
        ),
        "BIOS-e820: [mem 0x0000000040000000-0x00000000401fffff] soft reserved",
        *("1GiB+2MiB", "2M@1G", "2M$1G", r"memmap=2M\$0x40000000", "0x200000@1G"),
        *("[mem 0x40000000-0x401fffff]", "[mem 0x0000000040000000-0x00000000401fffff]"),
        *(
            "PFN:0x40000+512",
            "pfn:0x40000+512",
            "pfn:262144+512",
            "pfn:0x40000-0x401ff",
        ),
        *("40000000-401fffff", "40000000-401FFFFF", "40000000-401fffff : System RAM"),
        *("40000000 - 401fffff", "/proc/iomem:40000000-401fffff : System RAM"),
        "BIOS-e820: 0000000040000000 - 0000000040200000 (usable)",
        "0000000040000000 - 0000000040200000 (ACPI NVS)",
        *("1073741824+2097152", "1073741824-1075838975", "1G+2097152", "1024M+2048K"),
    ],
)
def test_every_way_to_write_a_range(text):
    assert parse_range(text) == (GIB, GIB + 2 * MIB)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1G+2M", ""),
        ("1073741824+2097152", ""),
        ("pfn:0x40000+512", ""),
        (
            "40000000-401fffff",
            "hexadecimal, as /proc/iomem prints it: [mem 0x40000000-",
        ),
        ("00100000-001fffff", "hexadecimal, as /proc/iomem prints it: [mem 0x100000-"),
        ("pfn:262144+512", "decimal: [mem 0x40000000-0x401fffff]"),
        (
            "0000000040000000 - 0000000040200000 (usable)",
            "END exclusive, as kernels to 3.4 print it: [mem 0x40000000-0x401fffff]",
        ),
    ],
)
def test_what_the_text_does_not_say_is_said_back(text, said):
    found = read_range(text).reading
    assert said in found
    assert bool(said) == bool(found)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "40000000+200000",
            ["[mem 0x2625a00-0x265673f]", "[mem 0x40000000-0x401fffff]: write 0x4"],
        ),
        ("0x40000000+200000", ["-0x40030d3f]", "write 0x40000000+0x200000"]),
        ("40000000-40200000", ["two ways", "write 0x40000000-0x401fffff for"]),
        ("40000000-49999999", ["two ways", "0x40000000-0x49999999"]),
        ("0+4096000", ["[mem 0x0-0x3e7fff]", "[mem 0x0-0x4095fff]"]),
        ("200000@40000000", ["two ways", "write 0x200000@0x40000000"]),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_both(text, parts):
    with pytest.raises(InputError) as caught:
        read_range(text)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "0x40000000-0x40200000",
            "END is inclusive.*want 0x40000000-0x401fffff or 0x40000000.0x200000$",
        ),
        ("0x40000000-", "'0x40000000-' is not a range: want START-END"),
        ("0000000000001000 - 0000000000001000 (usable)", "empty$"),
        ("1G-2G", "END is inclusive.*want 0x40000000-0x7fffffff"),
        ("[mem 0x1000-0x2000]", "want 0x1000-0x1fff or 0x1000.0x1000$"),
        ("0x1800+0x1000", "not whole pages of 0x1000.*nearest is 0x1000-0x2fff$"),
        ("1G+2MB", "MB may be a power of 1000 or of 1024: write 2MiB"),
        ("1G+1.5M", "'1.5M' is not a size"),
        ("nine+1", "'nine' is not a size"),
        ("0x2000-0x1000", r"empty; if END is a size, want 0x2000\+0x1000$"),
        ("1G+0", r"\[0x40000000, 0x40000000\): empty$"),
        ("0xfffffffffffff000+0x1000", "too high: the limit is 0xf{16}"),
        ("1G+16777216T", "the limit is 0xf{16}"),
        ("pfn:5+0", "PFNs .0x5, 0x5.: empty"),
        ("pfn:0xfffffffffffff+2", "beyond the limit of 0x10000000000000"),
        ("pfn:5", "want pfn:START.COUNT"),
        ("1G", "not a range: want START-END .END inclusive., START.SIZE, SIZE@START"),
        ("", "not a range"),
        ("[mem 40-50]", "not a size"),
        ("1G+" + "9" * 5000, "is not a size"),
        ("0-" * 5000, "is not a size"),
    ],
)
def test_a_refusal_shows_the_value_and_the_line_that_would_do(text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_range(text)
    assert len(str(caught.value)) < 400


def test_the_line_that_would_do_does():
    for text in ("0x40000000-0x40200000", "1G-2G", "0x1800+0x1000", "0x2000-0x1000"):
        with pytest.raises(InputError) as caught:
            read_range(text)
        wanted = str(caught.value).rpartition("want ")[2].rpartition("nearest is ")[2]
        for line in wanted.split(" or "):
            start, end = parse_range(line)
            assert start < end


@pytest.mark.parametrize(
    ("text", "size"),
    [("1KiB", 1024), ("3gib", 3 * GIB), ("2P", 2 << 50), ("0x10K", 16 << 10)],
)
def test_units_are_powers_of_1024(text, size):
    assert parse_size(text) == size
