"""Where a command's output goes: results to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from e820pool.findings import Finding
    from e820pool.report.paint import Paint

__all__ = ("Console", "add_color_option", "is_dumb")

_WHEN = ("auto", "always", "never")


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
    """Hold the two streams and how talkative to be.

    Attributes:
        json: results and errors are JSON, so that notes stay off stderr.
        quiet: no notes and no progress; findings above a note are always shown.
        color: when the result has colours: ``auto``, ``always`` or ``never``.
        above: prints a note above what is drawn on stderr just now, if anything is.
    """

    out: IO[str] = field(default_factory=lambda: _open(sys.stdout))
    err: IO[str] = field(default_factory=lambda: _open(sys.stderr))
    json: bool = False
    quiet: bool = False
    color: str = "auto"
    above: Callable[[str], None] | None = None
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

        wanted = self.color == "always"
        if self.color == "auto" and not os.environ.get("NO_COLOR"):
            wanted = self.out.isatty() and not is_dumb()
        return painter() if wanted else plain

    @property
    def shows_progress(self) -> bool:
        """Return whether stderr is a terminal that can redraw a line."""
        return not self.quiet and self.err.isatty() and not is_dumb()

    def result(self, text: str) -> None:
        """Print a result, with a final newline."""
        line = text.removesuffix("\n") + "\n"
        try:
            self.out.write(line)
        except UnicodeEncodeError:
            # File names are bytes, and not every terminal has every letter.
            encoding = getattr(self.out, "encoding", None) or "ascii"
            raw = line.encode(encoding, "backslashreplace")
            self.out.write(raw.decode(encoding))

    def binary(self, data: bytes) -> None:
        """Write bytes to stdout as they are."""
        self.out.flush()
        raw: IO[bytes] = getattr(self.out, "buffer")  # noqa: B009  text streams have it
        raw.write(data)

    def note(self, text: str) -> None:
        """Print a remark on stderr at once, unless quiet."""
        if self.quiet:
            return
        if self.above is not None:
            self.above(text)
        else:
            self.err.write(text + "\n")

    def findings(self, findings: Iterable[Finding]) -> None:
        """Keep findings for :meth:`finish`; under JSON they are in the result."""
        if not self.json:
            self._kept += findings

    def finish(self) -> None:
        """Send what was printed, then the findings: only what succeeds has notes."""
        self.out.flush()
        for one in dict.fromkeys(self._kept):
            if one.level != "note" or not self.quiet:
                self.err.write(f"{one.level}: {one.message} [{one.id}]\n")

    def error(self, text: str) -> None:
        """Print the one line (or JSON object) of a failure on stderr."""
        if self.json:
            # Deferred: json is not needed for --help.
            import json  # noqa: PLC0415

            self.err.write(json.dumps({"schema": 1, "error": text}) + "\n")
        else:
            self.err.write(f"e820pool: {_one_line(text)}\n")


# An argument may hold a newline, and a message stays one line.
def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
