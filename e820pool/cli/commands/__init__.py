"""One file a command; each has NAME, HELP, DESCRIPTION, EXAMPLE, configure, run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from e820pool.cli.commands import (
    boot,
    budget,
    build,
    chain,
    check,
    compare,
    completion,
    demo,
    diff,
    fleet,
    image,
    kernels,
    kexec,
    man,
    predict,
    rebuild,
    report,
    show,
    stress,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from e820pool.cli.console import Console

__all__ = ("COMMANDS", "Command")


class Command(Protocol):
    """What a command module provides."""

    NAME: str
    HELP: str
    DESCRIPTION: str
    EXAMPLE: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def run(self, args: argparse.Namespace, console: Console) -> int:
        """Do it and return the exit status."""


def _modules() -> Iterator[Command]:
    # In the order in which --help lists them.
    yield show
    yield diff
    yield build
    yield predict
    yield boot
    yield check
    yield rebuild
    yield compare
    yield chain
    yield kexec
    yield stress
    yield budget
    yield report
    yield fleet
    yield kernels
    yield image
    yield demo
    yield completion
    yield man


COMMANDS: tuple[Command, ...] = tuple(_modules())
