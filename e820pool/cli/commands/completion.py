"""completion: what makes a shell complete this command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.completion import NAMES, SHELLS, completion_script, names_of
from e820pool.cli.status import UsageError

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Print the script for a shell: it completes commands, options, their choices, files, and
the names of kernels, encodings and policies as they are known and fetched here.

bash  e820pool completion bash >~/.local/share/bash-completion/completions/e820pool
zsh   e820pool completion zsh >_e820pool, in a folder of $fpath
fish  e820pool completion fish >~/.config/fish/completions/e820pool.fish
tcsh  e820pool completion tcsh >~/.e820pool.tcsh, and source that in ~/.tcshrc
"""
EXAMPLE = "e820pool completion bash"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``completion``."""
    parser.add_argument("shell", choices=SHELLS, nargs="?", help="which shell")
    parser.add_argument(
        "--list",
        choices=sorted(NAMES),
        metavar="WHAT",
        help="instead, for the scripts: names that an argument may have, one a line, "
        f"of {', '.join(sorted(NAMES))}",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the script, or names."""
    if (args.shell is None) == (args.list is None):
        raise UsageError("completion takes either a shell or --list WHAT, and not both")
    if args.list is not None:
        console.result("\n".join(names_of(args.list)))
    else:
        console.result(completion_script(args.whole(), args.shell))
    return status.DONE
