"""The command line, as a kernel splits it and reads its numbers."""

import pytest

from e820pool.kernel.cmdline import (
    NumberRules,
    memparse,
    number_rules,
    options,
    parse_number,
)
from e820pool.kernel.profiles import profile_for

OLD = NumberRules()
NO_TERA = NumberRules(tera=False)
NEW = NumberRules(number_saturates=True, suffix_saturates=True)
TOP = (1 << 64) - 1


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", []),
        ("a b=1", [("a", None), ("b", "1")]),
        ("  a\t\tb=\xa0c", [("a", None), ("b", ""), ("c", None)]),
        ('a="b c" d', [("a", "b c"), ("d", None)]),
        ('"a=b c" d', [("a", "b c"), ("d", None)]),
        ('"a b" c', [("a b", None), ("c", None)]),
        ('a=b"c d"e', [("a", 'b"c d"e')]),
        ('a="', [("a", "")]),
        ('a="b', [("a", "b")]),
        ("=a=b", [("=a", "b")]),
        ("a=b=c", [("a", "b=c")]),
        ("a -- b", [("a", None)]),
        ("a --=1 b", [("a", None), ("--", "1"), ("b", None)]),
        ("a\0b", [("a", None)]),
        ("a=1\nb=2\r", [("a", "1"), ("b", "2")]),
    ],
)
def test_options_are_split_as_next_arg_does(line, found):
    assert [tuple(option) for option in options(line)] == found


def test_what_lies_beyond_2047_characters_is_not_read():
    line = "x" * 2040 + " a=1 b=2"
    assert [o.value for o in options(line)] == [None, "1", ""]


@pytest.mark.parametrize(
    ("text", "rules", "size", "rest"),
    [
        ("1M$", OLD, 1 << 20, "$"),
        ("0x10k", OLD, 0x4000, ""),
        ("0X1f", OLD, 0x1F, ""),
        ("010", OLD, 8, ""),
        ("08", OLD, 0, "8"),
        ("0x", OLD, 0, "x"),
        ("0xg", OLD, 0, "xg"),
        ("2t", OLD, 2 << 40, ""),
        ("2t", NO_TERA, 2, "t"),
        ("3G", NO_TERA, 3 << 30, ""),
        ("1P", OLD, 1 << 50, ""),
        ("1E", OLD, 1 << 60, ""),
        ("16E", OLD, 0, ""),
        ("16E", NEW, TOP, ""),
        ("K", OLD, 0, ""),
        ("K", NEW, 0, "K"),
        ("", OLD, 0, ""),
        ("-5", OLD, 0, "-5"),
        ("18446744073709551617", OLD, 1, ""),
        ("18446744073709551617", NEW, TOP, ""),
        ("0x1ffffffffffffffff", OLD, TOP, ""),
        ("1MM", OLD, 1 << 20, "M"),
    ],
)
def test_sizes_are_read_as_memparse_does(text, rules, size, rest):
    assert memparse(text, rules) == (size, rest)


def test_a_number_has_no_suffix():
    assert parse_number("12M", OLD) == (12, "M")


def test_the_decompressor_wraps_numbers_but_not_products():
    rules = number_rules(profile_for("7.3"), decompressor=True)
    assert memparse("18446744073709551617", rules) == (1, "")
    assert memparse("16E", rules) == (TOP, "")


def test_numbers_are_read_by_release():
    assert number_rules(profile_for("7.1")) == OLD
    assert number_rules(profile_for("7.2")) == NEW
    assert number_rules(profile_for("3.10")) == NO_TERA
