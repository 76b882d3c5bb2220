"""One file a command; each has DESCRIPTION, EXAMPLE, configure, run."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("COMMANDS", "Command", "load_command")

COMMANDS = MappingProxyType(
    {
        "show": "show a memory map in any form",
        "diff": "set two maps side by side and say what differs",
        "build": "build a handoff: boot_params, setup_data, command line",
        "predict": "show what a kernel would make of a handoff",
        "boot": "boot a real kernel with a handoff, see which pages it touches",
        "check": "say which kernels leave the deposits alone",
        "explain": "say what a finding means and what to do about it",
        "rebuild": "rebuild the pool after a boot",
        "compare": "set the ways to tell the next kernel against each other, by kernel",
        "chain": "carry deposits made at run time over real kexecs",
        "kexec": "load this machine's next kernel, its deposits kept",
        "stress": "say when entries run out, and with which policy never",
        "budget": "say what fewer entries cost in RAM",
        "report": "tell what was found in one page, or in a mail",
        "fleet": "judge captured maps of many hosts against many kernels",
        "kernels": "list known behaviours by release; fetch stock images for the lab",
        "image": "make one file that GRUB or QEMU boots with this handoff",
        "demo": "the whole way on a shipped map, in seconds",
        "completion": "print a script that makes the shell complete e820pool",
    }
)
"""Each command and its line of help, in the order in which --help lists them."""


class Command(Protocol):
    """What a command module provides."""

    DESCRIPTION: str
    EXAMPLE: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def run(self, args: argparse.Namespace, console: Console) -> int:
        """Do it and return the exit status."""


def load_command(name: str) -> Command:
    """Return the module of one of :data:`COMMANDS`; it may import much."""
    return cast("Command", import_module(f"{__name__}.{name}"))
