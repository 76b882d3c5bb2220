"""Read ranges of memory as people and kernels write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from e820pool.errors import InputError
from e820pool.extents import MAX_PFN, PAGE_SHIFT, PAGE_SIZE, Span

if TYPE_CHECKING:
    from e820pool.range_lists import StartEnd

__all__ = ("RangeText", "parse_range", "parse_size", "read_range")

_U64_MAX = (1 << 64) - 1
_SHOWN = 64
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
_NUMBER = re.compile(
    r"(?P<digits>0[xX][0-9a-fA-F]{1,32}|[0-9]{1,32})"
    r"(?:(?P<unit>[KMGTPEkmgtpe])(?P<iec>i[bB])?)?"
)
# What means 10^3 to some and 2^10 to others.
_DECIMAL_UNIT = re.compile(r"[0-9]+(?P<unit>[KMGTPEkmgtpe])[bB]")
# A whole line of a kernel's as well: its name before, its type behind.
_BRACKETED = re.compile(
    r"(?:[A-Za-z][\w-]{1,20}: )?\[mem (0x[0-9a-fA-F]{1,32})-(0x[0-9a-fA-F]{1,32})\]"
    r"(?: {1,2}[A-Za-z][A-Za-z0-9() ]{1,40})?"
)
# The same to 3.4, END exclusive.
_PARENTHESISED = re.compile(
    r"(?:[A-Za-z][\w-]{1,20}: )?([0-9a-fA-F]{16}) - ([0-9a-fA-F]{16})"
    r" \([A-Za-z][A-Za-z0-9 ]{1,40}\)"
)
# kernel/resource.c r_show(): at least 8 digits for memory, 4 where all fit into them.
_IOMEM = re.compile(
    r"(?:/\S{1,100}:)?(?P<first>[0-9a-fA-F]{4,16}) ?- ?(?P<last>[0-9a-fA-F]{4,16})"
    r"(?P<name> : .{1,100})?"
)
_LETTER = re.compile(r"[a-fA-F](?=.)|[a-dfA-DF]$")
_FORMS = (
    "START-END (END inclusive), START+SIZE, SIZE@START, SIZE$START, [mem 0x..-0x..], "
    "pfn:START+COUNT"
)


class RangeText(NamedTuple):
    """What a text names: bytes, half-open, whole pages.

    Attributes:
        reading: how it was taken, where that is not plain from the text; else "".
    """

    start: int
    end: int
    reading: str = ""


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` names: decimal or 0x, with K M G T P E or KiB ..

    The suffixes are the kernel's, powers of 1024 (lib/cmdline.c, memparse()).

    Raises:
        InputError: not a number, a unit that may be a power of 1000 (MB), or above
            2^64 - 1.

    Example:
        >>> parse_size("2M"), parse_size("0x1000"), parse_size("1GiB")
        (2097152, 4096, 1073741824)
    """
    return _number(text.strip(), text, base=10)


def parse_range(text: str) -> StartEnd:
    """Return ``(start, end)`` in bytes, half-open; forms and errors as read_range.

    Example:
        >>> parse_range("0x1000-0x1fff") == parse_range("4K+4K") == (0x1000, 0x2000)
        True
    """
    return read_range(text)[:2]


def read_range(text: str) -> RangeText:
    """Return the whole pages that a text names.

    ``START-END`` (END inclusive, as kernels print), ``START+SIZE``, ``SIZE@START`` and
    ``SIZE$START`` (memmap='s), ``[mem 0x..-0x..]``, ``pfn:START+COUNT``, lines of a
    kernel's map, and of /proc/iomem, whose digits are hexadecimal. A number is 0x, or
    decimal with a suffix of :func:`parse_size`. Digits without either are taken as
    decimal where only that gives whole pages.

    Raises:
        InputError: the form is another; it can be read in two ways; the range is empty,
            reversed, no whole pages or beyond 2^64 - 1.

    Example:
        >>> read_range("2M@1G")[:2] == read_range("[mem 0x40000000-0x401fffff]")[:2]
        True
        >>> read_range("40000000-401fffff").reading.partition(":")[0]
        "'40000000-401fffff' is hexadecimal, as /proc/iomem prints it"
    """
    line = text.strip().removeprefix("memmap=").replace("\\$", "$")
    if line[:4].lower() == "pfn:":
        return _of_pages(line, text)
    match = _BRACKETED.fullmatch(line)
    if match is not None:
        return _whole(*_last(int(match[1], 16), int(match[2], 16)), text)
    match = _PARENTHESISED.fullmatch(line)
    if match is not None:
        start, end = (int(digits, 16) for digits in match.groups())
        span = Span(start, max(end, 1))
        reading = f"{line!r} has its END exclusive, as kernels to 3.4 print it: {span}"
        return _whole(start, end, text, ends=False)._replace(reading=reading)
    match = _IOMEM.fullmatch(line)
    if match is not None and _is_iomem(match):
        start, end = _last(int(match["first"], 16), int(match["last"], 16))
        whole, span = _whole(start, end, text), Span(start, end)
        reading = f"{line!r} is hexadecimal, as /proc/iomem prints it: {span}"
        return whole._replace(reading=reading)
    for mark in "@$+-":
        left, _, right = line.partition(mark)
        if left.strip() and right.strip():
            return _of_parts(left.strip(), mark, right.strip(), text)
    raise InputError(f"{line[:_SHOWN]!r} is not a range: want {_FORMS}")


def _is_iomem(match: re.Match[str]) -> bool:
    first, last = match["first"], match["last"]
    if match["name"] or any(_LETTER.search(digits) for digits in (first, last)):
        return True
    # Zeros in front, as kernels fill up to 8 digits.
    return len(first) >= 8 and len(last) >= 8 and first.startswith("00")


def _of_pages(line: str, text: str) -> RangeText:
    for mark in "+-":
        left, present, right = line[4:].partition(mark)
        if present:
            start = _number(left.strip(), text, base=10)
            value = _number(right.strip(), text, base=10)
            end = start + value if mark == "+" else value + 1
            break
    else:
        raise InputError(f"{line[:_SHOWN]!r} is not a range: want pfn:START+COUNT")
    if not start < end <= MAX_PFN:
        raise InputError(
            f"range {text[:_SHOWN]!r} is PFNs [{start:#x}, {end:#x}): empty, or beyond "
            f"the limit of {MAX_PFN:#x}"
        )
    span = Span(start << PAGE_SHIFT, end << PAGE_SHIFT)
    reading = f"{line!r} is decimal: {span}" if left.strip().isdigit() else ""
    return RangeText(*span, reading)


def _of_parts(left: str, mark: str, right: str, text: str) -> RangeText:
    decimal = _bounds(left, mark, right, text, base=10)
    if not any(part.isdigit() and int(part[:32]) > 9 for part in (left, right)):
        return _whole(*decimal, text, ends=mark == "-")
    # Digits alone: kernels print addresses in hexadecimal, options are decimal.
    hexadecimal = _bounds(left, mark, right, text, base=16)
    is_long = any(len(part) > 5 and part.isdigit() for part in (left, right))
    if not _is_whole(*hexadecimal) and (_is_whole(*decimal) or not is_long):
        return _whole(*decimal, text, ends=mark == "-")
    readings = " or, in hexadecimal, ".join(
        str(Span(start, end)) for start, end in (decimal, hexadecimal)
    )
    want = mark.join(f"0x{part}" if part.isdigit() else part for part in (left, right))
    start, last = hexadecimal[0], hexadecimal[1] - 1
    if mark == "-" and start < last and _is_whole(start, last):
        # END was meant exclusive: as written it is one byte too long.
        want = f"{start:#x}-{last - 1:#x}"
    raise InputError(
        f"range {text[:_SHOWN]!r} can be read in two ways: {readings}: write {want} "
        "for the second, decimal numbers with K, M or G for the first"
    )


def _bounds(left: str, mark: str, right: str, text: str, *, base: int) -> StartEnd:
    first, second = (_number(part, text, base=base) for part in (left, right))
    if mark == "-":
        return _last(first, second)
    return (first, first + second) if mark == "+" else (second, second + first)


def _last(start: int, last: int) -> StartEnd:
    return start, last + 1


def _number(part: str, text: str, *, base: int) -> int:
    match = _NUMBER.fullmatch(part) if len(part) < _SHOWN else None
    if match is None:
        unit = _DECIMAL_UNIT.fullmatch(part[:_SHOWN])
        if unit is not None:
            letter = unit["unit"].upper()
            raise InputError(
                f"{part[:_SHOWN]!r}: {letter}B may be a power of 1000 or of 1024: "
                f"write {part[:-2]}{letter}iB for that of 1024"
            )
        raise InputError(
            f"{part[:_SHOWN]!r} is not a size: want 4096, 0x1000, 4K, 2M, 1G, 1GiB"
        )
    digits, unit_letter = match["digits"], match["unit"] or ""
    if digits[:2] in ("0x", "0X"):
        value = int(digits, 16)
    else:
        value = int(digits, 10 if unit_letter else base)
    value <<= _SHIFTS[unit_letter.upper()]
    if value > _U64_MAX:
        raise InputError(f"{text[:_SHOWN]!r} is {value:#x}: the limit is {_U64_MAX:#x}")
    return value


def _is_whole(start: int, end: int) -> bool:
    return start < end and not (start | end) % PAGE_SIZE


def _whole(start: int, end: int, text: str, *, ends: bool = True) -> RangeText:
    shown = text.strip()[:_SHOWN]
    if end > _U64_MAX:
        raise InputError(
            f"range {shown!r} ends at {end:#x}, too high: the limit is {_U64_MAX:#x}"
        )
    if start >= end:
        is_size = ends and end > 1 and not (end - 1) % PAGE_SIZE
        hint = f"; if END is a size, want {start:#x}+{end - 1:#x}" if is_size else ""
        raise InputError(f"range {shown!r} is {Span(start, end)}: empty{hint}")
    if _is_whole(start, end):
        return RangeText(start, end)
    if ends and not (start | (end - 1)) % PAGE_SIZE and end - 1 > start:
        raise InputError(
            f"range {shown!r} is not whole pages of {PAGE_SIZE:#x} bytes: END is "
            f"inclusive, as kernels print it, and so it is one byte too long: want "
            f"{start:#x}-{end - 2:#x} or {start:#x}+{end - 1 - start:#x}"
        )
    first, last = start & -PAGE_SIZE, (end + PAGE_SIZE - 1 & -PAGE_SIZE) - 1
    raise InputError(
        f"range {shown!r} is {Span(start, end)}, which is not whole pages "
        f"of {PAGE_SIZE:#x} bytes: the nearest is {first:#x}-{last:#x}"
    )
