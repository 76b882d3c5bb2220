"""pmpool=<base>,<size>: the kernel's numbers, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool.errors import InputError
from e820pool.pool.option import (
    PmpoolOption,
    find_pmpool_option,
    parse_pmpool_option,
)


@pytest.mark.parametrize(
    ("text", "base_addr", "size"),
    [
        ("pmpool=1G,64M", 1 << 30, 64 << 20),
        ("pmpool=0x40000000,0x4000000", 1 << 30, 64 << 20),
        ("pmpool=0X100000K,2m", 1 << 30, 2 << 20),
        ("pmpool=1073741824,2097152", 1 << 30, 2 << 20),
        # memparse() reads a leading 0 as octal.
        ("pmpool=010000000000,010M", 1 << 30, 8 << 20),
        ("pmpool=0,1g", 0, 1 << 30),
        ("pmpool=1t,1G", 1 << 40, 1 << 30),
        ("pmpool=1p,2M", 1 << 50, 2 << 20),
    ],
)
def test_numbers_are_read_as_the_kernel_reads_them(text, base_addr, size):
    expected = PmpoolOption(base_addr=base_addr, size=size)
    assert parse_pmpool_option(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pmpoool=1G,2M", "not of the form pmpool=<base>,<size>"),
        ("", "not of the form"),
        ("pmpool=1G", "has no size"),
        ("pmpool=1G;2M", "has no size"),
        ("pmpool=,2M", "'' is not a number"),
        ("pmpool=1G,", "'' is not a number"),
        ("pmpool=1G,2M,", "'2M,' is not a number"),
        ("pmpool=1G,2Mx", "'2Mx' is not a number"),
        ("pmpool=0x,2M", "'0x' is not a number"),
        ("pmpool=08G,2M", "'08G' is not a number"),
        ("pmpool=-1G,2M", "'-1G' is not a number"),
        ("pmpool=1G,\u0662M", "is not a number"),
        ("pmpool=1G,0", "is empty"),
        ("pmpool=1E,2M", "pool at 0x1000000000000000 .* beyond the limit"),
        ("pmpool=16E,2M", "the limit is 0xffffffffffffffff"),
        ("pmpool=0,18446744073709551616", "the limit is 0xffffffffffffffff"),
        ("pmpool=0x10000000001000,2M", "beyond the limit 0x10000000000000"),
        ("pmpool=0xfffffffe00000,4M", "beyond the limit 0x10000000000000"),
        ("pmpool=0x40000800,2M", "not whole pages"),
        ("pmpool=1G,0x200800", "not whole pages"),
        ("pmpool=0x40001000,2M", "not aligned: .* multiples of 0x200000"),
        ("pmpool=1G,4K", "not aligned: .* multiples of 0x200000"),
    ],
)
def test_other_forms_are_refused_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_pmpool_option(text)
    assert "\n" not in str(caught.value)


def test_a_region_may_end_at_the_last_address_there_is():
    option = parse_pmpool_option("pmpool=0xfffffffe00000,2M")
    assert option.end_addr == 1 << 52


def test_an_absurdly_long_number_is_not_computed():
    with pytest.raises(InputError, match="not a number") as caught:
        parse_pmpool_option("pmpool=" + "9" * 100_000 + ",2M")
    assert len(str(caught.value)) < 200


@given(st.integers(0, 1 << 30), st.integers(1, 1 << 12))
def test_an_option_reads_back_as_written(blocks, nr_blocks):
    option = PmpoolOption.of_pages(blocks << 9, nr_blocks << 9)
    assert parse_pmpool_option(str(option)) == option


@given(st.text(max_size=40))
def test_arbitrary_text_is_read_or_refused(text):
    for form in (text, "pmpool=" + text):
        try:
            option = parse_pmpool_option(form)
        except InputError:
            continue
        assert parse_pmpool_option(str(option)) == option


def test_a_command_line_is_searched_for_the_option():
    line = "console=ttyS0 pmpool=1G,2M quiet -- pmpool=2G,2M"
    assert find_pmpool_option(line) == PmpoolOption.of_pages(0x40000, 0x200)
    assert find_pmpool_option('x="pmpool=1G,2M y" z') is None
    assert find_pmpool_option("console=ttyS0 xpmpool=1G,2M") is None
    assert find_pmpool_option("") is None


def test_two_pools_on_a_command_line_are_refused():
    with pytest.raises(InputError, match=r"2 pools .* the limit is 1"):
        find_pmpool_option("pmpool=1G,2M pmpool=2G,2M")


def test_a_bad_option_on_a_command_line_is_not_skipped():
    for line in ("quiet pmpool=1G", "pmpool", "pmpool= quiet"):
        with pytest.raises(InputError, match="has no size"):
            find_pmpool_option(line)
