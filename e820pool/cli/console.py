"""Where a command's output goes: results to stdout, all else to stderr."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from e820pool.findings import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from e820pool.findings import Finding
    from e820pool.report.paint import Paint

__all__ = ("Console", "add_color_option", "folded", "is_dumb")

_WHEN = ("auto", "always", "never")
_LINES = 4096

# Notes that say which of several maps was read.
_WHICH_MAP = (
    *("several-boots", "capture-kernel", "no-bios-map", "other-maps"),
    "pseudo-physical",
)

# What a terminal obeys and nobody sees: C0 and C1 controls but tab and newline, and
# what turns the direction of a line. A painted result has the painter's own sequences.
_CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
_CONTROL = re.compile(_CONTROLS)
_PAINTED_OR_CONTROL = re.compile(r"\x1b\[[0-9;]*m|" + _CONTROLS)

# What is no sentence: the columns of a table, a painted cell; and words to be copied.
_IS_ROW = re.compile(r"\S {2,}\S|[\t\x1b]|^e820pool ")
_IS_COPIED = re.compile(r"[$`]| --?[a-z]|^[a-z_-]+=|^command line|^next:|^kexec ")
# What always is one.
_IS_SENTENCE = re.compile(r" {5}[^ ]|judged on")

# A word and what is said of it, as help has them.
_TERM = re.compile(r"\S+ {2,}(?=\S+(?: \S+)+$)")


def is_dumb() -> bool:
    """Return whether the terminal can neither colour nor go back in a line."""
    return os.environ.get("TERM", "dumb") in ("dumb", "unknown")


def add_color_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--color``, for commands whose result has colours."""
    parser.add_argument(
        "--color",
        choices=_WHEN,
        default="auto",
        help="colour the result (default: on a terminal, unless NO_COLOR is set)",
    )


# A stream that the parent closed is None; writing to it must not be an error of ours.
def _open(stream: IO[str] | None) -> IO[str]:
    return stream or Path(os.devnull).open("w", encoding="utf-8")


@dataclass(slots=True, kw_only=True)
class Console:
    """The two streams, and how talkative to be.

    Attributes:
        json: results and errors are JSON, so that notes stay off stderr.
        quiet: no notes and no progress; findings above a note are always shown.
        color: when the result has colours: ``auto``, ``always`` or ``never``.
        prose: the result is for people: sentences wider than the terminal are broken.
        above: prints a note above what is drawn on stderr just now, if anything is.
        stopped_by: the signal that asked to stop, 0 before any.
    """

    out: IO[str] = field(default_factory=lambda: _open(sys.stdout))
    err: IO[str] = field(default_factory=lambda: _open(sys.stderr))
    json: bool = False
    quiet: bool = False
    color: str = "auto"
    prose: bool = False
    above: Callable[[str], None] | None = None
    stopped_by: int = 0
    _kept: list[Finding] = field(default_factory=list)

    @property
    def unicode(self) -> bool:
        """Return whether stdout can show block characters."""
        encoding = (getattr(self.out, "encoding", None) or "").lower()
        return encoding.replace("-", "") == "utf8"

    @property
    def paint(self) -> Paint:
        """Return what paints the result: with colours only where they are wanted.

        https://no-color.org: NO_COLOR counts when it is not empty.
        """
        from e820pool.report.paint import painter, plain  # noqa: PLC0415  numpy

        return painter() if self._is_painted else plain

    @property
    def _is_painted(self) -> bool:
        if self.color == "auto" and not os.environ.get("NO_COLOR"):
            return self.out.isatty() and not is_dumb()
        return self.color == "always"

    @property
    def width(self) -> int | None:
        """Return how many characters a line has room for; None where any."""
        return _width_of(self.out) or None

    @property
    def shows_progress(self) -> bool:
        """Return whether stderr is a terminal that can redraw a line."""
        return not self.quiet and self.err.isatty() and not is_dumb()

    def result(self, text: str) -> None:
        """Print a result, with a final newline.

        Control characters that came with a file, a name or a guest's console are
        written as their number: no terminal obeys them.
        """
        self._write_result(text.removesuffix("\n") + "\n")

    def line(self, text: str) -> None:
        """Print one line of a result that is written as it is made."""
        self._write_result(text + "\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Print the lines of a result, some thousands at a time."""
        pending = iter(lines)
        while part := list(islice(pending, _LINES)):
            self.line("\n".join(part))

    def _write_result(self, text: str) -> None:
        pattern = _PAINTED_OR_CONTROL if self._is_painted else _CONTROL
        shown = pattern.sub(_visible, text)
        if self.prose and (width := _width_of(self.out)):
            shown = "\n".join(folded(line, width) for line in shown.split("\n"))
        self.out.write(_encodable(shown, self.out))

    def binary(self, data: bytes) -> None:
        """Write bytes to stdout as they are."""
        self.out.flush()
        raw: IO[bytes] = getattr(self.out, "buffer")  # noqa: B009  text streams have it
        raw.write(data)

    def note(self, text: str) -> None:
        """Print a remark of one line on stderr at once, unless quiet."""
        if self.quiet:
            return
        (self.above or self._tell)(one_line(text))

    def findings(self, findings: Iterable[Finding]) -> None:
        """Keep findings for :meth:`finish`; under JSON they are in the result."""
        self._kept += findings

    def finish(self) -> None:
        """Send what was printed, then the findings: only what succeeds has notes."""
        self.out.flush()
        for finding in dict.fromkeys(() if self.json else self._kept):
            if finding.level != "note" or not self.quiet:
                text = f"{finding.level}: {finding.message} [{finding.id}]"
                width = _width_of(self.err)
                self._tell(folded(one_line(text), width) if width else one_line(text))

    def beside_error(self) -> list[str]:
        """Return what was read, where a failure may come from having read another."""
        kept = dict.fromkeys(self._kept)
        return [finding.message for finding in kept if finding.id in _WHICH_MAP]

    def error(self, text: str) -> None:
        """Print the one line (or JSON object) of a failure on stderr."""
        if self.json:
            # Deferred: json is not needed for --help.
            import json  # noqa: PLC0415

            self._tell(json.dumps({"schema": 1, "error": text}))
        else:
            self._tell(f"e820pool: {one_line(text)}")

    # Where nobody hears, the exit status is all that is left: it stays what it is.
    def _tell(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self.err.write(_encodable(_CONTROL.sub(_visible, text) + "\n", self.err))


# What goes into a pipe stays as it is, one line a sentence, unless COLUMNS is set.
def _width_of(stream: IO[str]) -> int:
    if not os.environ.get("COLUMNS") and not stream.isatty():
        return 0
    from shutil import get_terminal_size  # noqa: PLC0415  only for people

    return max(get_terminal_size().columns, 20)


def folded(line: str, width: int, *, hang: str = "  ", terms: bool = False) -> str:
    """Return a sentence in lines of at most ``width`` characters; a row as it is.

    ``hang`` stands before each line after the first where nothing indents them;
    ``terms``: a word, blanks and what is said of it are a list's, and no row.
    """
    body = line.lstrip()
    term = _TERM.match(body) if terms else None
    is_row = _IS_ROW.search(body) or (not terms and _IS_COPIED.search(body))
    if len(line) <= width or (is_row and not term and not _IS_SENTENCE.match(line)):
        return line
    from textwrap import fill  # noqa: PLC0415  only for people

    indent = line[: len(line) - len(body)]
    return fill(
        body,
        width,
        initial_indent=indent,
        subsequent_indent=indent + " " * term.end() if term else indent or hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _visible(match: re.Match[str]) -> str:
    text = match.group()
    return text if len(text) > 1 else f"\\u{ord(text):04x}"


# File names are bytes, and not every terminal has every letter.
def _encodable(text: str, stream: IO[str]) -> str:
    encoding = getattr(stream, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text
