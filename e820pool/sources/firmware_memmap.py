"""Read /sys/firmware/memmap: the tree, and what grep, head or a script print of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError
from e820pool.findings import counted
from e820pool.memory_map import MemoryMap
from e820pool.sources.files import numbered_entries, parse_hex_attribute, read_attribute
from e820pool.sources.log_text import LogLine, Piece, clean_lines
from e820pool.sources.oddities import note
from e820pool.sources.printed_map import (
    BARE_START,
    HEX,
    RANGE_BEGUN,
    PrintedForm,
    begun_pattern,
    cut_lines,
    rests_of,
)
from e820pool.type_words import TYPE_WITHOUT_NUMBER, type_of_resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from e820pool.findings import Finding
    from e820pool.range_lists import StartCount


__all__ = (
    "MEMMAP_SCRIPT",
    "is_memmap_tree",
    "looks_like_memmap_text",
    "read_memmap_text",
    "read_memmap_tree",
)

_WRAP = 1 << 64
_DIGITS = re.compile("[0-9a-fA-F]{1,15}")
# 0x and 16 digits.
_VALUE_LIMIT = 18
_KEYS = ("start", "end", "type")

# `grep "" */*`, `grep -r .`, also with -n, from any folder above N/; head and tail put
# the name above the value. What a path may hold before N ends with a slash or a blank.
# A script of somebody's own puts blanks or a sign of equality for the colon.
_IS = r"(?::|\s{0,4}=|(?=\s))"
_VALUE = re.compile(
    r"(?:^|[^\w.-])(?P<number>[0-9]{1,9})/(?P<key>start|end|type)"
    rf"{_IS}(?:[0-9]{{1,2}}:)?"
    r"\s{0,4}[\"']?(?P<value>0x[0-9a-fA-F]{1,16}(?![0-9a-fA-Fx])|[A-Za-z][^:/]{0,60}?"
    r"(?=[\"']?\s*$|\s+\S*[0-9]{1,9}/(?:start|end|type)(?![a-z])))"
)
_LIKE = re.compile(
    r"(?:^|[^\w.-])[0-9]{1,9}/(?:start|end|type)"
    r"(?::|\s{0,4}=|\s{1,4}[\"']?(?:0x|[A-Z]))"
)
_NAME = re.compile(r"==> (?:\S{0,200}/)?([0-9]{1,9})/(start|end|type) <==")
_NAMED_VALUE = re.compile(
    r"[\s>|#*]*(0x[0-9a-fA-F]{1,16}|[A-Za-z][A-Za-z0-9 ()-]{2,60})\s*$"
)


def _script_type(match: re.Match[str]) -> int | None:
    return type_of_resource(" ".join(match["words"].split()))


# Documentation/ABI/testing/sysfs-firmware-memmap, 2.6.27 to 7.3, has the script; it
# prints the byte after the last one.
#: What the script of the ABI document of /sys/firmware/memmap prints.
MEMMAP_SCRIPT = PrintedForm(
    name="what the script of the kernel's sysfs-firmware-memmap page prints",
    signs=(" (System RAM)", " (Reserved)", " (ACPI Tables)", " (ACPI Non-"),
    hints=("0000",),
    entry=re.compile(
        rf"(?<![0-9a-fA-F-])(?P<start>{HEX})-(?P<end>{HEX})\s*"
        r"\((?P<words>[A-Z][A-Za-z0-9 -]{2,40}(?:\(legacy\))?|reserved)\s*\)"
    ),
    begun=begun_pattern(
        BARE_START,
        *RANGE_BEGUN,
        ("$", r"\(?[A-Za-z -]{0,40}(?:\(l?e?g?a?c?y?\)?)?"),
    ),
    like=re.compile(
        rf"-{HEX} ?\([A-Za-z]|(?<![0-9a-fA-F]){HEX}-(?!{HEX} ?(?::|\([0-9]))"
    ),
    type_of=_script_type,
)


@dataclass(slots=True)
class _Entry:
    # What is known of one number: values, and the lines they are in.
    values: dict[str, str] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)


class _Last(NamedTuple):
    # The value that a line ended with, and what stood before it in the line.
    name: tuple[int, str]
    before: str


def looks_like_memmap_text(text: str) -> bool:
    """Return whether the text has a file of /sys/firmware/memmap with its value."""
    has_name = "/start" in text or "/end" in text or "/type" in text
    if has_name and re.search(_LIKE.pattern, text, re.MULTILINE):
        return True
    return "==> " in text and _NAME.search(text) is not None


def read_memmap_text(text: str | Sequence[Piece], *, origin: str = "") -> MemoryMap:
    """Return the map of ``N/start``, ``N/end`` and ``N/type``, in the order of N.

    ``end`` is inclusive, as in the files. The lines may be in any order.

    Raises:
        BadImageError: no entry is whole, one ends before it starts, or a file has two
            values: then the text is of two machines.
    """
    try:
        entries, cut = _gathered(_lines_of(text))
    except BadImageError as exc:
        raise BadImageError(f"{origin!r}: {exc}") from exc
    whole = {at: e for at, e in entries.items() if len(e.values) == len(_KEYS)}
    cut += [entry.lines[0] for at, entry in entries.items() if at not in whole]
    if not whole:
        raise BadImageError(
            f"{origin!r} has files of /sys/firmware/memmap, and of 0 entries start, "
            'end and type: give the output of grep "" /sys/firmware/memmap/*/*'
        )
    names = [whole[at].values["type"] for at in sorted(whole)]
    ranges = [_range_of(at, whole[at], origin) for at in sorted(whole)]
    return MemoryMap(
        entries=_table_of(ranges, names),
        origin=f"{origin} (text of /sys/firmware/memmap)",
        notes=(*cut_lines(sorted(cut)), *_notes("text", list(entries), names)),
    )


def _lines_of(text: str | Sequence[Piece]) -> Iterator[LogLine]:
    pieces = [Piece(1, text)] if isinstance(text, str) else text
    if not any("==> " in piece.text for piece in pieces):
        return clean_lines(pieces)
    # Their names end with "<==", which is no soft break of quoted-printable.
    lines = chain.from_iterable(
        enumerate(piece.text.removesuffix("\n").split("\n"), piece.number)
        for piece in pieces
    )
    return (LogLine(number, line.rstrip("\r")) for number, line in lines)


def _gathered(lines: Iterable[LogLine]) -> tuple[dict[int, _Entry], list[int]]:
    entries: dict[int, _Entry] = {}
    cut: list[int] = []
    name: tuple[int, str] | None = None
    last: _Last | None = None
    for line in lines:
        if last is not None and _goes_on(entries[last.name[0]], last, line):
            continue
        last = None
        if match := _NAME.search(line.text):
            name = int(match[1]), match[2]
            entries.setdefault(name[0], _Entry()).lines.append(line.number)
            continue
        if name is not None and line.text.strip():
            value = _NAMED_VALUE.match(line.text)
            if value is not None and _fits(name[1], value[1]):
                _set(entries[name[0]], name, value[1].strip(), line.number)
                last = _Last(name, line.text[: value.start(1)])
            name = None
            continue
        matches = list(_VALUE.finditer(line.text)) if "/" in line.text else []
        for match in matches:
            at, key = int(match["number"]), match["key"]
            if not _fits(key, match["value"]):
                cut.append(line.number)
            else:
                entry = entries.setdefault(at, _Entry())
                _set(entry, (at, key), match["value"].strip(), line.number)
                if not line.text[match.end() :].strip():
                    last = _Last((at, key), line.text[: match.start()])
        if "/" in line.text and len(_LIKE.findall(line.text)) > len(matches):
            cut.append(line.number)
    return entries, cut


# An address is a number, and a type is a word.
def _fits(key: str, value: str) -> bool:
    return (key != "type") == value.startswith("0x")


# Whether a line holds nothing but the rest of the value before it.
def _goes_on(entry: _Entry, last: _Last, line: LogLine) -> bool:
    value = entry.values[last.name[1]]
    if _LIKE.search(line.text) or _NAME.search(line.text):
        return False
    for tail in rests_of(line.text, last.before):
        part = tail.strip()
        if last.name[1] != "type":
            if _DIGITS.fullmatch(part) and len(value) + len(part) <= _VALUE_LIMIT:
                entry.values[last.name[1]] = value + part
                return True
        elif part and type_of_resource(value) is None:
            for whole in (value + part, f"{value} {part}"):
                if type_of_resource(whole) is not None:
                    entry.values["type"] = whole
                    return True
    return False


def _set(entry: _Entry, name: tuple[int, str], value: str, line: int) -> None:
    earlier = entry.values.setdefault(name[1], value)
    if earlier != value:
        raise BadImageError(
            f"{name[0]}/{name[1]} is {earlier!r} and, in line {line}, {value!r}: the "
            "text has the maps of two machines, give one"
        )
    entry.lines.append(line)


def _range_of(at: int, entry: _Entry, origin: str) -> StartCount:
    start, end = (int(entry.values[key], 16) for key in ("start", "end"))
    # An empty range ends one byte before it starts.
    if end + 1 < start:
        raise BadImageError(
            f"{origin!r}: entry {at} ends at {end:#x}, before its start {start:#x}"
        )
    return start, (end + 1 - start) % _WRAP


def _table_of(ranges: list[StartCount], names: list[str]) -> NDArray[Any]:
    kinds = [type_of_resource(name) for name in names]
    return table_of(
        (addr, size, TYPE_WITHOUT_NUMBER if kind is None else kind)
        for (addr, size), kind in zip(ranges, kinds, strict=True)
    )


def _notes(form: str, numbers: list[int], names: list[str]) -> Iterator[Finding]:
    missing = sorted(set(range(len(numbers))) - set(numbers))
    if missing:
        yield note(
            "entries-missing",
            f"the {form} has {counted(len(numbers), 'entry')} and no number "
            f"{missing[0]}: some are missing",
        )
    odd = [name for name in names if type_of_resource(name) is None]
    if odd:
        yield note(
            "unknown-words",
            f"{counted(len(odd), 'entry')} with a type name that no kernel has: first "
            f"{odd[0][:40]!r}; they are not taken for RAM",
        )


def is_memmap_tree(path: Path) -> bool:
    """Return whether a directory holds ``N/start`` for some number N."""
    return any((entry / "start").exists() for _, entry in numbered_entries(path)[:1])


def read_memmap_tree(path: Path, *, origin: str = "") -> MemoryMap:
    """Return the map of ``N/{start,end,type}``, in the numeric order of N.

    ``end`` is inclusive (drivers/firmware/memmap.c, 2.6.27 to 7.3). The names are
    those of /proc/iomem; one that is unknown gives ``TYPE_WITHOUT_NUMBER``.

    Raises:
        InputError: a file cannot be read.
        BadImageError: there is no numbered entry, or one is not a whole range.
    """
    numbered = numbered_entries(path)
    if not numbered:
        raise BadImageError(f"{origin!r} has no entry 0/ with start, end and type")
    names = [read_attribute(entry / "type") for _, entry in numbered]
    ranges = [_range_in(entry) for _, entry in numbered]
    return MemoryMap(
        entries=_table_of(ranges, names),
        origin=f"{origin} (firmware memmap tree)",
        notes=tuple(_notes("tree", [number for number, _ in numbered], names)),
    )


def _range_in(entry: Path) -> StartCount:
    start = parse_hex_attribute(entry / "start")
    end = parse_hex_attribute(entry / "end")
    # An empty range ends one byte before it starts; anything else that is reversed
    # is no range.
    if end + 1 < start:
        raise BadImageError(f"{str(entry)!r} ends at {end:#x}, before its {start:#x}")
    return start, (end + 1 - start) % _WRAP
