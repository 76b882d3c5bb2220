"""man: the manual page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.commands import COMMANDS, load_command
from e820pool.cli.man_page import man_page

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Print the manual page of e820pool with all its commands, for man: what --help says, in
one place. To read it now, pipe it into `man -l -`; to keep it, write it to
~/.local/share/man/man1/e820pool.1.
"""
EXAMPLE = "e820pool man"


def configure(_parser: argparse.ArgumentParser) -> None:
    """Add nothing: the page has no choices."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the page."""
    commands = {name: load_command(name) for name in COMMANDS}
    console.result(man_page(args.whole(), commands))
    return status.DONE
