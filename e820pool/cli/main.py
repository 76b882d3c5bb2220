"""Parse arguments, run one command, map errors to exit statuses."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import traceback
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool import __version__
from e820pool.cli import status
from e820pool.cli.commands import COMMANDS, load_command
from e820pool.cli.console import Console, folded
from e820pool.cli.next_steps import nearest, next_step
from e820pool.errors import E820PoolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType
    from typing import Any, NoReturn

__all__ = ("build_parser", "main")

_DESCRIPTION = """\
Hand deposited memory to the next kernel as E820_TYPE_RESERVED, and say which kernels
leave it alone. To see the whole way in seconds: e820pool demo
"""

_EPILOG = """\
exit status: 0 done or safe; 1 unsafe, degraded, or does not fit (diff: different);
             2 usage; 3 bad input; 4 no verdict (kernel not known, QEMU missing, VM
             lost); 70 a fault of e820pool itself

SOURCE is a file, a directory, - for stdin, or `live` for this machine: a 4096-byte
boot_params, dmesg text, /proc/iomem, a /sys/firmware/memmap tree, our JSON, a
handoff directory; recognised by content. RANGE is START-END (END inclusive, as the
kernel prints), START+SIZE with K, M, G, SIZE@START, pfn:START+COUNT, or @FILE.

environment: NO_COLOR takes the colours away, as TERM=dumb and pipes do; COLUMNS says
             how wide a result may be; XDG_CACHE_HOME where fetched kernels are kept
             (e820pool/ in ~/.cache)
"""


_BY_SIGNAL = 128  # what a shell adds to the number of the signal that ended a process
_NUMPY_BASELINE = "NumPy was built with baseline optimizations"


class _Parser(argparse.ArgumentParser):
    # A mistake is told in one line, as all other errors are, and not behind a page.
    def error(self, message: str) -> NoReturn:
        raise status.UsageError(_with_help(message, self.prog))

    # The choices are many, and what was meant is mostly one of them.
    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        like = nearest(str(value), choices)
        meant = f", did you mean {like!r}?" if like else ""
        known = ", ".join(choices)
        raise argparse.ArgumentError(
            action, f"invalid choice: {value!r}{meant} (choose from {known})"
        )

    def refuse(self, words: list[str]) -> NoReturn:
        """Refuse words that are no argument of this command."""
        option = next((word for word in words if word.startswith("-")), "")
        known = [name for action in self._actions for name in action.option_strings]
        like = nearest(option.partition("=")[0], known) if option else ""
        meant = f", did you mean {like}?" if like else ""
        self.error(f"unrecognized arguments: {' '.join(words)}{meant}")


def _with_help(message: str, prog: str) -> str:
    return f"{message} (see '{prog} --help')"


def build_parser(
    command: str | None = None, *, alone: bool = False
) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Args:
        command: the one whose arguments are added, and whose module is imported; None
            takes all of them, "" none.
        alone: no other command is named, as only a page of help needs.
    """
    parser = _Parser(
        prog="e820pool",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"e820pool {__version__}"
    )
    quiet = "no remarks and no progress"
    parser.add_argument("-q", "--quiet", action="store_true", help=quiet)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        if alone and name != command:
            continue
        sub = commands.add_parser(
            name,
            help=text,
            formatter_class=_Help,
            allow_abbrev=False,
        )
        # Before the command or behind it; suppressed, or it would undo the former.
        sub.add_argument(
            "-q", "--quiet", action="store_true", default=argparse.SUPPRESS, help=quiet
        )
        if command in (None, name):
            _complete(sub, name)
    return parser


def _complete(sub: argparse.ArgumentParser, name: str) -> None:
    command = load_command(name)
    sub.description = command.DESCRIPTION
    sub.epilog = f"example:\n  {command.EXAMPLE}"
    command.configure(sub)
    # Two commands tell of all: what they need is given to them, as we import them.
    sub.set_defaults(run=command.run, parser=sub, whole=build_parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: the arguments after the program's name; None takes sys.argv.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    console = Console(json=_wants_json(words))
    with _signals_like_interrupts(console):
        return _run(words, console)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Descriptions as they stand where they fit the terminal, else in shorter lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.strip("\n").split("\n\n")
        return "\n\n".join(_in_width(part, width, indent) for part in parts)


# A paragraph is broken anew, a list or an example line by line.
def _in_width(part: str, width: int, indent: str) -> str:
    lines = part.split("\n")
    if max(map(len, lines)) <= width:
        return "\n".join(indent + line for line in lines)
    joined: list[str] = []
    for line in lines:
        # The second line of a term in a list, or of a sentence.
        goes_on = joined and "  " not in line.strip() and not line.startswith("  e820")
        indents = len(line) - len(line.lstrip()) > 2 or not line.startswith(" ")
        if goes_on and indents and joined[-1]:
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
    lines = joined
    return "\n".join(
        indent + folded(line, width, hang="", terms=True) for line in lines
    )


# Asked before parsing, so that a usage error has its form too.
def _wants_json(words: list[str]) -> bool:
    plain = any(word in ("--format=json", "--jsonl") for word in words)
    return plain or any(
        word.startswith("--jsonl=") or (word, following) == ("--format", "json")
        for word, following in pairwise((*words, ""))
    )


def _run(words: list[str], console: Console) -> int:
    try:
        code = _command(words, console)
        console.finish()
    except E820PoolError as exc:
        hints = getattr(exc, "__notes__", ())
        console.error("; ".join([str(exc), *hints, *console.beside_error()]))
        return status.status_of_error(exc)
    except BrokenPipeError:
        # The reader left (head, less): nobody is there to be told.
        _leave_stdout()
        return _BY_SIGNAL + signal.SIGPIPE
    except OSError as exc:
        _leave_stdout()
        name = f"{exc.filename!r}" if exc.filename else "standard output"
        console.error(f"{name}: {(exc.strerror or str(exc)).lower()}")
        return status.BAD_INPUT
    except KeyboardInterrupt as exc:
        number = exc.number if isinstance(exc, status.Stopped) else signal.SIGINT
        return _stopped(number, console)
    # A traceback would end as 1: unsafe. Extensions have bases of their own (a panic of
    # Rust's), and what others give to sys.exit() is no status of ours.
    except BaseException as exc:  # noqa: BLE001
        _leave_stdout()
        return _failed(exc, console)
    return code


def _stopped(number: int, console: Console) -> int:
    console.error("interrupted: nothing was left half-made")
    return _BY_SIGNAL + number


def _failed(exc: BaseException, console: Console) -> int:
    # NumPy's import and dask's loop make an error of their own of a signal.
    if console.stopped_by:
        return _stopped(console.stopped_by, console)
    lacks = _words_of_machine(exc)
    console.error(lacks or _words_of_fault(exc))
    return status.NO_VERDICT if lacks else status.FAULT


# What this machine lacks, "" where that is not what is wrong.
def _words_of_machine(exc: BaseException) -> str:
    if isinstance(exc, MemoryError):
        return "out of memory: the input needs more than this process may have"
    # Raised when NumPy is imported (its npy_cpu_features.c).
    if isinstance(exc, RuntimeError) and _NUMPY_BASELINE in str(exc):
        return (
            "this processor lacks instructions that this NumPy was built for (2.4 and "
            "later: x86-64-v2, with cx16 and SSE4.2): install 'numpy<2.4', or the "
            "Debian package of e820pool, which has it"
        )
    return ""


def _words_of_fault(exc: BaseException) -> str:
    ours = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if "e820pool" in Path(frame.filename).parts
    ]
    where = f" in {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return (
        f"a fault of e820pool itself{where}, there is no verdict: "
        f"{type(exc).__name__}: {exc}; please report it with the command and its input"
    )


def _command(words: list[str], console: Console) -> int:
    # Options before the command take no value.
    at = next((n for n, word in enumerate(words) if not word.startswith("-")), None)
    named = "" if at is None else words[at]
    is_known = named in COMMANDS and not set(words[:at]) - {"-q", "--quiet"}
    parser = build_parser(named, alone=is_known)
    try:
        args, unknown = parser.parse_known_args(words)
    except SystemExit as exc:  # --help and --version have printed
        return exc.code if isinstance(exc.code, int) else status.USAGE
    if unknown:
        args.parser.refuse(unknown)
    console.quiet, args_format = args.quiet, getattr(args, "format", "")
    console.color = getattr(args, "color", "auto")
    console.prose = not console.json and args_format in ("table", "text")
    try:
        code: int = args.run(args, console)
    except status.UsageError as exc:
        raise status.UsageError(
            _with_help(str(exc), f"e820pool {args.command}")
        ) from exc
    except E820PoolError as exc:
        hint = next_step(exc, args)
        if hint:
            exc.add_note(hint)
        raise
    return code


# What could not be written must not be tried again when Python ends.
def _leave_stdout() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextlib.contextmanager
def _signals_like_interrupts(console: Console) -> Iterator[None]:
    # SIGTERM cleans up the way Ctrl-C does: no stray process, no stray file.
    def interrupt(number: int, _frame: FrameType | None) -> None:
        console.stopped_by = number
        raise status.Stopped(number)

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What the parent ignores for its child (nohup) stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interrupt)
    except ValueError:  # not the main thread: the caller owns signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
