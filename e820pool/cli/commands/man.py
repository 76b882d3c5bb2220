"""man: the manual page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "HELP", "NAME", "configure", "run")

NAME = "man"
HELP = "print the manual page"
DESCRIPTION = """\
Print the manual page of e820pool with all its commands, for man: what --help says, in
one place. To read it now, pipe it into `man -l -`; to keep it, write it to
~/.local/share/man/man1/e820pool.1.
"""
EXAMPLE = "e820pool man"


def configure(_parser: argparse.ArgumentParser) -> None:
    """Add nothing: the page has no choices."""


def run(_args: argparse.Namespace, console: Console) -> int:
    """Print the page."""
    from e820pool.cli.commands import COMMANDS  # noqa: PLC0415  it imports us
    from e820pool.cli.main import build_parser  # noqa: PLC0415
    from e820pool.cli.man_page import man_page  # noqa: PLC0415

    console.result(man_page(build_parser(), COMMANDS))
    return status.DONE
