"""Turn the bytes of a log into lines, free of what transport added."""

from __future__ import annotations

import html
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from e820pool.errors import BadImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = (
    "LogLine",
    "Piece",
    "clean_lines",
    "decode_text",
    "encoding_of",
    "messages_of_json",
)

# Bytes that are looked at to tell text from noise, and the share of control
# characters (or of bytes that are not UTF-8) from which on it is noise. A serial
# console may leave some NULs and line noise before the first line.
_PROBE_BYTES = 1 << 16
_NOISE_SHARE = 0.1
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
# What a crash leaves in a log file that was being written; a page of zeros is none.
_NULS = re.compile(r"(?<=[^\0]{80})\0{8,}|^\0{8,}(?=[^\0]{200})")

# UTF-32 before UTF-16: the mark of the one begins with that of the other.
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# Without a mark the NULs tell: which bytes of a character hold its ASCII code.
_WIDE = (
    *(("utf-32-le", 4, 0), ("utf-32-be", 4, 3)),
    *(("utf-16-le", 2, 0), ("utf-16-be", 2, 1)),
)
_WIDE_SHARE = 0.8

# Lines of the longest text that is read; a log of the largest size has fewer.
_LINES_LIMIT = 1 << 21

# Colour and other sequences of a terminal, as the byte 27 or as loggers write it:
# JSON \u001b, C \x1b \033 \e, rsyslog #033, cat -v ^[.
_COLOUR = re.compile(
    r"(?:\x1b|\\{1,2}u001[bB]|\\{1,2}x1[bB]|\\{1,2}033|\\{1,2}e|#033|\^\[)"
    r"(?:\[[0-9;?]{0,16}[ -/]?[@-~]|\(B)"
)
# A line end that was written out: \n (JSON and C; twice escaped also), rsyslog #012,
# markup that breaks a line.
_LINE_END = re.compile(
    r"\r|(?:\\{1,4}r)?\\{1,4}n|(?:#015)?#012"
    r"|</?(?:br|p|div|pre|tr|li|code|blockquote)(?:\s[^<>]{0,200})?\s{0,4}/?>",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]{0,10}(?:\s[^<>]{0,200})?/?>")
_ENTITY = re.compile(r"&(?:#[0-9]{1,5}|#x[0-9a-fA-F]{1,4}|[a-z]{2,6});")
# Quoted-printable: = [ ] : and tabs. A coded blank might be the end of an option such
# as nr_cpus=20, unless a line has several.
_QUOTED_SIGN = re.compile(r"=(?:3[DdAa]|5[BbDd]|09)")
_QUOTED_BLANK = re.compile(r"=20")
_QUOTED_BLANKS = 3
_HARD_BLANK = re.compile("\xa0")
_TAB = re.compile(r"\\{1,4}t|#011")
# None of the above is in a line that has none of these.
_DECORATED = re.compile(r"[\x00\r\x1b\\<&=#^\xa0]")
# Cells of a row stand beside each other: a number of the line, and the line.
_CELL = re.compile(r"</?t[dh](?:\s[^<>]{0,200})?>", re.IGNORECASE)

_SPLIT_CHARS = 1 << 18

# A soft break joins at most so many lines: mail wraps at 76 columns, and one
# line of the map has 80.
_JOIN_LIMIT = 4

_NOTHING: frozenset[str] = frozenset()

# Under which key a record of a log holds what was printed, the best first: journald
# MESSAGE, dmesg -J msg, container runtimes log, Google textPayload, AWS message and
# Output, serial port contents, Splunk _raw, Loki line.
_MESSAGE_KEYS = (
    *("message", "msg", "log", "textpayload", "text", "line", "_raw", "output"),
    *("contents", "content", "body", "event", "data"),
)
_TIME_KEYS = (
    *("__monotonic_timestamp", "__realtime_timestamp", "timestamp", "@timestamp"),
    *("time", "ts"),
)
# A piece of a memory map, of whatever program.
_NAMES_MAP = re.compile(r"BIOS-|e820|RAM map|\[(?:mem|gap) 0x|System RAM|SMAP type")
# Deeper than any logger nests its records; more broken records than a log has.
_DEPTH_LIMIT = 16
_BROKEN_LIMIT = 64
# What may stand between two values: blanks, commas, RFC 7464's record separator,
# the field name of server-sent events.
_BETWEEN = re.compile(r"(?:[\s,\x1e]|data:)*")


class Piece(NamedTuple):
    """A run of lines of a log; a log is some of them, in their order.

    Attributes:
        number: of its first line, from 1.
        text: whole lines.
    """

    number: int
    text: str


class LogLine(NamedTuple):
    """One logical line; a tuple, since a long log has a million.

    Attributes:
        number: of its first physical line, from 1.
        text: without line ending, colour codes and soft breaks.
        changes: what was removed: ``colour``, ``CR LF``, ``soft break``, ``markup``,
            ``line end written out``, ``quoted-printable``.
    """

    number: int
    text: str
    changes: frozenset[str] = _NOTHING


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text: by its mark, or by where its NULs are.

    UTF-8, with a mark or without, where nothing else shows.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    probe = data[:_PROBE_BYTES]
    for name, width, at in _WIDE:
        columns = [probe[n::width] for n in range(width)]
        if len(probe) < 4 * width or not columns[-1]:
            continue
        nuls = [column.count(0) / len(column) for column in columns]
        codes = nuls.pop(at)
        if codes < 1 - _WIDE_SHARE and min(nuls) > _WIDE_SHARE:
            return name
    return "utf-8-sig"


def decode_text(data: bytes, name: str) -> str:
    """Return the text of ``data``; what is no character becomes U+FFFD.

    UTF-8, UTF-16 and UTF-32 are told apart, with a byte order mark or without.

    Raises:
        BadImageError: it is binary, or has absurdly many lines.
    """
    text = data.decode(encoding_of(data), "replace")
    lines = text.count("\n")
    if lines > _LINES_LIMIT:
        raise BadImageError(
            f"{name!r} has {lines:#x} lines: the limit is {_LINES_LIMIT:#x}"
        )
    probe = _NULS.sub("\0", text[:_PROBE_BYTES])
    noise = len(_CONTROL.findall(probe))
    if noise > _NOISE_SHARE * len(probe):
        raise BadImageError(
            f"{name!r} is {len(data):#x} bytes of binary data ({noise} of the first "
            f"{len(probe)} characters are no text): neither a map in text nor a "
            "boot_params of 0x1000 bytes"
        )
    return text


def messages_of_json(text: str) -> list[Piece]:
    """Return what the records of a JSON log say, each with the number of its line.

    JSON Lines (journalctl -o json, container runtimes), one document (dmesg -J, an
    array from a cloud) or several in a row (journalctl -o json-pretty). Records that
    come newest first are turned round; a line that is no JSON, among others that are,
    is taken as it is. A text that is no JSON log gives an empty list, and so does a
    document of this package, which has a ``schema``.
    """
    records: list[_Record] = []
    is_log = False
    for number, value, line in _values_of(text):
        if value is not None:
            if not is_log and isinstance(value, dict) and "schema" in value:
                return []
            messages = list(_records(value, number))
            records += messages
            is_log |= bool(messages)
        elif not is_log and (line[:1] not in "{[" or len(records) == _BROKEN_LIMIT):
            return []
        else:
            records.append(_Record(number, line))
    if not is_log:
        return []
    if _is_newest_first(records):
        records.reverse()
    return [
        Piece(number, message if message.endswith("\n") else f"{message}\n")
        for number, message, _ in records
        if message
    ]


class _Record(NamedTuple):
    # What one record says, the number of its line, and when it was said.
    number: int
    message: str
    time: tuple[int, str] | None = None


# The values of a text with the numbers of their lines; a line that is none as it is.
def _values_of(text: str) -> Iterator[tuple[int, Any, str]]:
    # Not strict: a transport may have broken a record inside of its text.
    decoder = json.JSONDecoder(strict=False)
    at, number, broken = 0, 1, 0
    while (start := _after_blanks(text, at)) < len(text):
        number += text.count("\n", at, start)
        value = None
        if text[start] in "{[" and broken < _BROKEN_LIMIT:
            try:
                value, at = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                broken += 1
        if value is None or not _has_text(value):
            end = text.find("\n", start)
            # Too much is broken to look for more values in what is left.
            at = len(text) if end < 0 or broken == _BROKEN_LIMIT else end
            yield number, None, text[start:at]
        else:
            yield number, value, ""
            number += text.count("\n", start, at)


# A time stamp such as [12] is an array of no text.
def _has_text(value: Any) -> bool:
    return isinstance(value, dict) or any(not _is_byte(item) for item in value)


def _after_blanks(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at


# What a value says, the objects that lie deepest first; a time is that of the nearest
# object around that has it.
def _records(
    value: Any, number: int, time: tuple[int, str] | None = None, depth: int = 0
) -> Iterator[_Record]:
    if depth > _DEPTH_LIMIT:
        return
    if isinstance(value, dict):
        time = _time(value) or time
        message = _message(value)
        if message is not None:
            yield _Record(number, message, time)
        else:
            for inner in value.values():
                yield from _records(inner, number, time, depth + 1)
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            # Loki's [time, line], or an array of lines.
            own = _shown_time(value[0]) if value[0].isdigit() else time
            yield _Record(number, "\n".join(value), own)
        else:
            for inner in value:
                yield from _records(inner, number, time, depth + 1)


def _message(record: dict[str, Any]) -> str | None:
    lower = {key.lower(): value for key, value in record.items()}
    message = next((x for x in map(_as_text, map(lower.get, _MESSAGE_KEYS)) if x), None)
    if message is None or not _NAMES_MAP.search(message):
        # Under a key that is not known here, or beside a title.
        others = (x for x in map(_as_text, record.values()) if x)
        message = next((x for x in others if _NAMES_MAP.search(x)), message)
    return message


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    # journald gives what is not UTF-8 as an array of bytes.
    if isinstance(value, list) and value and all(map(_is_byte, value)):
        return bytes(value).decode("utf-8", "replace")
    return None


def _is_byte(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 0xFF


def _is_newest_first(records: list[_Record]) -> bool:
    pairs = list(pairwise(record.time for record in records if record.time is not None))
    falls = sum(earlier > later for earlier, later in pairs)
    return falls > 0 and all(earlier >= later for earlier, later in pairs)


def _time(record: dict[str, Any]) -> tuple[int, str] | None:
    lower = {key.lower(): value for key, value in record.items()}
    values = (lower.get(key) for key in _TIME_KEYS)
    time = next((x for x in values if isinstance(x, (str, int, float))), None)
    return None if time is None else _shown_time(str(time))


# Numbers of unequal length in the order of their values.
def _shown_time(shown: str) -> tuple[int, str]:
    return len(shown.partition(".")[0]) if shown[:1].isdigit() else 0, shown


def clean_lines(text: str | Iterable[Piece]) -> Iterator[LogLine]:
    """Yield the lines, with what transport did to them undone.

    Soft breaks are joined, and a line is divided where its line ends were written out.
    """
    pieces = (Piece(1, text),) if isinstance(text, str) else text
    for number, piece in pieces:
        yield from _lines_of(number, piece)


def _lines_of(first: int, text: str) -> Iterator[LogLine]:
    started: LogLine | None = None
    joined = 0
    for number, raw in enumerate(_raw_lines(text), first):
        line = LogLine(number, raw)
        if started is not None:
            line = LogLine(
                started.number, started.text + raw, frozenset({"soft break"})
            )
        bare = line.text.rstrip("\r")
        if bare.endswith("=") and joined < _JOIN_LIMIT:
            started, joined = line._replace(text=bare[:-1]), joined + 1
            continue
        started, joined = None, 0
        if _DECORATED.search(line.text):
            yield from _cleaned(line)
        else:
            yield line
    if started is not None:
        yield from _cleaned(started)


# As text.split("\n") has them; of a text of a million lines some thousands at a time.
def _raw_lines(text: str) -> Iterator[str]:
    at = 0
    while (end := text.find("\n", at + _SPLIT_CHARS)) >= 0:
        yield from text[at:end].split("\n")
        at = end + 1
    yield from text[at:].split("\n")


def _cleaned(line: LogLine) -> Iterator[LogLine]:
    number, text, before = line
    changes = set(before)
    stripped = text.rstrip("\r")
    if stripped != text:
        changes.add("CR LF")
    if stripped.count("=20") >= _QUOTED_BLANKS:
        stripped = _QUOTED_BLANK.sub(" ", stripped)
        changes.add("quoted-printable")
    for pattern, with_, change in _UNDONE:
        cleaned = pattern.sub(with_, stripped)
        if cleaned != stripped:
            changes.add(change)
            stripped = cleaned
    all_changes = frozenset(changes)
    for part in stripped.split("\n"):
        yield LogLine(number, part, all_changes)


def _character(match: re.Match[str]) -> str:
    return html.unescape(match[0])


# In this order: what is escaped inside of markup comes after the markup.
_UNDONE: tuple[tuple[re.Pattern[str], Any, str], ...] = (
    (_COLOUR, "", "colour"),
    (_QUOTED_SIGN, lambda match: chr(int(match[0][1:], 16)), "quoted-printable"),
    (_LINE_END, "\n", "line end written out"),
    (_CELL, " ", "markup"),
    (_TAG, "", "markup"),
    (_ENTITY, _character, "markup"),
    (_TAB, "\t", "tab written out"),
    (_HARD_BLANK, " ", "markup"),
)
