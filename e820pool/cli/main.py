"""Parse arguments, run one command, map errors to exit statuses."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from e820pool import __version__
from e820pool.cli import status
from e820pool.cli.commands import COMMANDS
from e820pool.cli.console import Console
from e820pool.errors import E820PoolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = ("build_parser", "main")

_EPILOG = """\
exit status: 0 done or safe; 1 unsafe, degraded, or does not fit; 2 usage;
             3 bad input; 4 no verdict (kernel not known, QEMU missing, VM lost)

SOURCE is a file, a directory, - for stdin, or `live` for this machine: a 4096-byte
boot_params, dmesg text, /proc/iomem, a /sys/firmware/memmap tree, our JSON, a
handoff directory; recognised by content. RANGE is START-END (end inclusive, as the
kernel prints), START+SIZE with K, M, G, or @FILE.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; imports no heavy module."""
    parser = argparse.ArgumentParser(
        prog="e820pool",
        description="Hand deposited memory to the next kernel as E820_TYPE_RESERVED, "
        "and say which kernels leave it alone.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"e820pool {__version__}"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.DESCRIPTION,
            epilog=f"example:\n  {command.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument(
            "-q", "--quiet", action="store_true", help="no remarks and no progress"
        )
        command.configure(sub)
        sub.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: the arguments after the program's name; None takes sys.argv.
    """
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as exc:  # argparse has printed; --help and --version are 0
        return exc.code if isinstance(exc.code, int) else status.USAGE
    console = Console(
        json=getattr(args, "format", None) == "json"
        or bool(getattr(args, "jsonl", "")),
        quiet=args.quiet,
    )
    with _terminated_like_interrupted():
        return _run(args, console)


def _run(args: argparse.Namespace, console: Console) -> int:
    try:
        code: int = args.run(args, console)
        console.out.flush()
    except E820PoolError as exc:
        console.error(str(exc))
        return status.status_of_error(exc)
    except BrokenPipeError:
        # The reader left (head, less): nobody is there to be told.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status.DONE
    except OSError as exc:
        console.error(f"{exc.filename or 'input'}: {exc.strerror or exc}")
        return status.BAD_INPUT
    except KeyboardInterrupt:
        console.error("interrupted: nothing was left half-made")
        return status.INTERRUPTED
    return code


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    # SIGTERM cleans up the way Ctrl-C does: no stray process, no stray file.
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: the caller owns signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
