"""Where a command's output goes: results to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.findings import Finding

__all__ = ("Console",)


@dataclass(slots=True, kw_only=True)
class Console:
    """Hold the two streams and how talkative to be.

    Attributes:
        json: results and errors are JSON, so that notes stay off stderr.
        quiet: no notes and no progress; findings are always shown.
    """

    out: IO[str] = field(default_factory=lambda: sys.stdout)
    err: IO[str] = field(default_factory=lambda: sys.stderr)
    json: bool = False
    quiet: bool = False

    @property
    def colour(self) -> bool:
        """Return whether stdout is a terminal that wants colours."""
        return self.out.isatty() and "NO_COLOR" not in os.environ

    @property
    def unicode(self) -> bool:
        """Return whether stdout can show block characters."""
        encoding = (getattr(self.out, "encoding", None) or "").lower()
        return encoding.replace("-", "") == "utf8"

    def result(self, text: str) -> None:
        """Print a result, with a final newline."""
        print(text.removesuffix("\n"), file=self.out)

    def binary(self, data: bytes) -> None:
        """Write bytes to stdout as they are."""
        self.out.flush()
        raw: IO[bytes] = getattr(self.out, "buffer")  # noqa: B009  text streams have it
        raw.write(data)

    def note(self, text: str) -> None:
        """Print a remark on stderr, unless quiet."""
        if not self.quiet:
            print(text, file=self.err)

    def findings(self, findings: Iterable[Finding]) -> None:
        """Print findings on stderr; under JSON they are part of the result."""
        if self.json:
            return
        for one in findings:
            if one.level != "note" or not self.quiet:
                print(f"{one.level}: {one.message} [{one.id}]", file=self.err)

    def error(self, text: str) -> None:
        """Print the one line (or JSON object) of a failure on stderr."""
        if self.json:
            # Deferred: json is not needed for --help.
            import json  # noqa: PLC0415

            print(json.dumps({"schema": 1, "error": text}), file=self.err)
        else:
            print(f"e820pool: {text}", file=self.err)
