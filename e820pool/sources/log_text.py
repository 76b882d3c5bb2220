"""Turn the bytes of a kernel log into lines, free of what transport added."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from e820pool.errors import BadImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("LogLine", "clean_lines", "decode_text")

# Bytes that are looked at to tell text from noise, and the share of control
# characters (or of bytes that are not UTF-8) from which on it is noise. A serial
# console may leave some NULs and line noise before the first line.
_PROBE_BYTES = 1 << 16
_NOISE_SHARE = 0.1
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f\ufffd]")

# Lines of the longest text that is read; a log of the largest size has fewer.
_LINES_LIMIT = 1 << 21

_COLOUR = re.compile(r"\x1b\[[0-9;?]{0,16}[ -/]?[@-~]")

# A soft break joins at most so many lines: mail wraps at 76 columns, and one
# line of the map has 80.
_JOIN_LIMIT = 4


_NOTHING: frozenset[str] = frozenset()


class LogLine(NamedTuple):
    """Hold one logical line; a tuple, since a long log has a million.

    Attributes:
        number: of its first physical line, from 1.
        text: without line ending, colour codes and soft breaks.
        changes: what was removed: ``colour``, ``CR LF``, ``soft break``.
    """

    number: int
    text: str
    changes: frozenset[str] = _NOTHING


def decode_text(data: bytes, name: str) -> str:
    """Return the text of ``data``; bytes that are not UTF-8 become U+FFFD.

    Raises:
        BadImageError: it is binary, or has absurdly many lines.
    """
    text = data.decode("utf-8-sig", "replace")
    lines = text.count("\n")
    if lines > _LINES_LIMIT:
        raise BadImageError(
            f"{name!r} has {lines:#x} lines: the limit is {_LINES_LIMIT:#x}"
        )
    probe = text[:_PROBE_BYTES]
    noise = len(_CONTROL.findall(probe))
    if noise > _NOISE_SHARE * len(probe):
        raise BadImageError(
            f"{name!r} is {len(data):#x} bytes of binary data ({noise} of the first "
            f"{len(probe)} characters are no text): neither a map in text nor a "
            "boot_params of 0x1000 bytes"
        )
    return text


def clean_lines(text: str) -> Iterator[LogLine]:
    """Yield the lines, quoted-printable soft breaks joined."""
    started: LogLine | None = None
    joined = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = _clean(number, raw)
        if started is not None:
            line = LogLine(
                number=started.number,
                text=started.text + line.text,
                changes=started.changes | line.changes | {"soft break"},
            )
        if line.text.endswith("=") and joined < _JOIN_LIMIT:
            started, joined = _without_break(line), joined + 1
        else:
            started, joined = None, 0
            yield line
    if started is not None:
        yield started


def _clean(number: int, raw: str) -> LogLine:
    if not raw.endswith("\r") and "\x1b" not in raw:
        return LogLine(number, raw)
    text = raw.rstrip("\r")
    changes = {"CR LF"} if text != raw else set()
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
        changes.add("colour")
    return LogLine(number, text, frozenset(changes))


def _without_break(line: LogLine) -> LogLine:
    return line._replace(text=line.text[:-1])
