"""A kernel's command line as options and numbers.

Linux 6.1, 7.3 lib/cmdline.c next_arg(), memparse(); kernel/params.c parse_args().
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.kernel.profiles import Profile

__all__ = (
    "COMMAND_LINE_CHARS",
    "NumberRules",
    "Option",
    "line_that_counts",
    "memparse",
    "number_rules",
    "options",
    "parse_number",
)

COMMAND_LINE_CHARS = 2047
"""Characters that a kernel keeps (COMMAND_LINE_SIZE less the NUL; 2.6.32 to 7.3)."""

_U64_MAX = (1 << 64) - 1
# lib/ctype.c: what isspace() takes for a space, the Latin-1 one included.
_SPACES = "\t\n\v\f\r \xa0"
_HEX = re.compile(r"0[xX](?=[0-9a-fA-F])([0-9a-fA-F]+)")
_OCTAL = re.compile(r"0[0-7]*")
_DECIMAL = re.compile(r"[0-9]+")
_GIGA = 30
_SHIFTS = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


class NumberRules(NamedTuple):
    """How a kernel reads numbers on its command line.

    Attributes:
        tera: T, P and E are suffixes.
        number_saturates: digits beyond 64 bits give 2^64 - 1; else they wrap.
        suffix_saturates: a product beyond 64 bits gives 2^64 - 1, and a suffix
            needs a number; else bits are lost, and ``K`` alone is 0.
    """

    tera: bool = True
    number_saturates: bool = False
    suffix_saturates: bool = False


class Option(NamedTuple):
    """One option; ``value`` is None without an equals sign."""

    name: str
    value: str | None


def options(cmdline: str, *, dashes_end: bool = True) -> Iterator[Option]:
    """Yield the options, as the kernel splits them.

    Double quotes keep spaces together; those around a whole option or value are
    taken off.

    Args:
        cmdline: the line.
        dashes_end: whether what follows ``--`` is left to init:
            ``double-dash-ends-options``.
    """
    text = cmdline.partition("\0")[0][:COMMAND_LINE_CHARS].lstrip(_SPACES)
    while text:
        option, text = _next_option(text)
        if dashes_end and option == ("--", None):
            return
        yield option


def _next_option(text: str) -> tuple[Option, str]:
    quoted = text.startswith('"')
    body = text[1:] if quoted else text
    end = _end_of_option(body, in_quote=quoted)
    word, rest = body[:end], body[end + 1 :].lstrip(_SPACES)
    # An equals sign in front is part of the name.
    equals = word.find("=", 1)
    # The kernel writes NULs over closing quotes; the last one is taken once.
    closed = word.endswith('"')
    if equals < 0:
        name = word[:-1] if quoted and closed else word
        return Option(name, None), rest
    name, value = word[:equals], word[equals + 1 :]
    if value.startswith('"'):
        value = value[1:-1] if closed and len(value) > 1 else value[1:]
        return Option(name, value), rest
    return Option(name, value[:-1] if quoted and closed else value), rest


# The end of the option that text begins with.
def _end_of_option(text: str, *, in_quote: bool) -> int:
    for at, char in enumerate(text):
        if char in _SPACES and not in_quote:
            return at
        if char == '"':
            in_quote = not in_quote
    return len(text)


def number_rules(profile: Profile, *, decompressor: bool = False) -> NumberRules:
    """Return how a kernel, or its decompressor, reads numbers.

    Both have lib/cmdline.c; the decompressor has its own simple_strtoull(), which
    never saturates.
    """
    saturates = profile.has("memparse-saturates")
    return NumberRules(
        tera=profile.has("memparse-tera"),
        number_saturates=saturates and not decompressor,
        suffix_saturates=saturates,
    )


def parse_number(text: str, rules: NumberRules) -> tuple[int, str]:
    """Return the number at the start of ``text`` and what follows it.

    Base 16 after ``0x``, 8 after ``0``, else 10; 0 and all of ``text`` when there
    is none. simple_strtoull().
    """
    match = _HEX.match(text)
    if match:
        return _in_64_bits(int(match[1], 16), rules), text[match.end() :]
    for pattern, base in ((_OCTAL, 8), (_DECIMAL, 10)):
        match = pattern.match(text)
        if match:
            number = _in_64_bits(int(match[0], base), rules)
            return number, text[match.end() :]
    return 0, text


def _in_64_bits(number: int, rules: NumberRules) -> int:
    if rules.number_saturates:
        return min(number, _U64_MAX)
    return number & _U64_MAX


def line_that_counts(line: str, profile: Profile) -> str:
    """Return the command line that a kernel goes by, given the one it was handed.

    A kernel that was built with a line of its own (CONFIG_CMDLINE) reads that first,
    or that alone (CONFIG_CMDLINE_OVERRIDE). The decompressor, and so KASLR, reads the
    one that was handed over only.
    Linux 5.10 to 7.3 arch/x86/kernel/setup.c setup_arch(), boot/compressed/cmdline.c.
    """
    config = profile.config
    built_in = str(config["CMDLINE"]) if config["CMDLINE_BOOL"] else ""
    if config["CMDLINE_BOOL"] and config["CMDLINE_OVERRIDE"]:
        return built_in
    if not built_in:
        return line
    # One without an end, which is looked for, stays so.
    endless = len(line) > COMMAND_LINE_CHARS
    both = f"{built_in} {line}"
    return both if endless else both[:COMMAND_LINE_CHARS]


def memparse(text: str, rules: NumberRules) -> tuple[int, str]:
    """Return the size at the start of ``text`` in bytes and what follows it.

    A suffix K, M, G, T, P or E multiplies, where the kernel knows it. memparse().
    """
    number, rest = parse_number(text, rules)
    shift = _SHIFTS.get(rest[:1].lower(), 0)
    if not shift or (shift > _GIGA and not rules.tera):
        return number, rest
    if not rules.suffix_saturates:
        return (number << shift) & _U64_MAX, rest[1:]
    # There, a suffix without a number is no size at all.
    if rest == text:
        return number, rest
    return min(number << shift, _U64_MAX), rest[1:]
