"""Arguments that several commands share: sources, deposits, handoffs."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from e820pool.cli.progress import Progress
from e820pool.deposits import Deposit, parse_range
from e820pool.errors import BadImageError, InputError
from e820pool.memory_devices import MemoryDevices
from e820pool.range_text import read_range
from e820pool.sources.files import bounded_lines, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.cli.console import Console
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap


__all__ = (
    "add_block_option",
    "add_deposit_options",
    "add_device_option",
    "add_partial_option",
    "add_source_argument",
    "bulk_lines",
    "deposits_of",
    "handoff_with_deposits",
    "known_devices",
    "map_of",
    "say_how_taken",
    "source_map",
    "whole_map",
    "whole_number",
)

_BLOCKS = ("bios", "extended", "setup_data", "user", "modified")
_U64_MAX = (1 << 64) - 1
# Python refuses longer digits with an error of its own; 2^64 has 20.
_DIGITS = 32
_NOTES_SHOWN = 3


def whole_number(text: str) -> int:
    """Return the u64 that an option's ``text`` names, decimal or 0x."""
    try:
        value = int(text[:_DIGITS], 0)
    except ValueError as exc:
        message = f"{text[:_DIGITS]!r} is no whole number like 3 or 0x3"
        raise argparse.ArgumentTypeError(message) from exc
    if not 0 <= value <= _U64_MAX or len(text) > _DIGITS:
        shown = f"{value:#x}" if len(text) <= _DIGITS else f"{text[:_DIGITS]}..."
        raise argparse.ArgumentTypeError(
            f"{shown} is outside the limits 0x0 to {_U64_MAX:#x}"
        )
    return value


def add_source_argument(
    parser: argparse.ArgumentParser, *, optional: bool = False
) -> None:
    """Add SOURCE, which may be left out, and the choice of a log's boot and block."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?" if optional else None,
        help="file, directory, - or live",
    )
    add_block_option(parser)


def add_block_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a log's boot and block."""
    parser.add_argument(
        "--block",
        choices=_BLOCKS,
        metavar="MAP",
        help="which map of a kernel log to read: bios, extended, setup_data, user or "
        "modified (default: bios, or the first it has)",
    )
    parser.add_argument(
        "--log-boot",
        metavar="N",
        type=whole_number,
        help="which boot of a kernel log to read, 1 is the first (default: the last "
        "whole one that is no capture kernel's)",
    )


def source_map(args: argparse.Namespace, console: Console) -> MemoryMap:
    """Return the map that SOURCE and its options name; notes go to the console."""
    return map_of(args.source, args, console)


def add_partial_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--partial``, which :func:`whole_map` reads."""
    parser.add_argument(
        "--partial",
        action="store_true",
        help="take a map of which entries cannot be read (line-cut), and deposits in "
        "what a kernel reserved later (reserved-later)",
    )


def whole_map(args: argparse.Namespace, console: Console) -> MemoryMap:
    """Return the map that SOURCE names, of which nothing is missing.

    Raises:
        InputError: something is, and ``--partial`` does not allow that.
    """
    memory_map = source_map(args, console)
    if args.partial:
        return memory_map.as_printed()
    memory_map.validate_whole()
    return memory_map


def map_of(source: str, args: argparse.Namespace, console: Console) -> MemoryMap:
    """Return the map of a source; what was odd in it goes to the console.

    Args:
        source: what to read.
        args: has ``block`` and ``log_boot``.
        console: takes the notes.
    """
    # Where a handoff is at hand no reader of logs is needed.
    from e820pool.sources.recognise import read_map  # noqa: PLC0415

    if source == "-" and sys.stdin is None:
        raise InputError("standard input is closed: SOURCE - has nothing to read")
    try:
        memory_map = read_map(source, block=args.block, boot=args.log_boot)
    except BadImageError as exc:
        exc.id = exc.id or "not-a-source"
        raise
    console.findings(memory_map.notes)
    return memory_map


def add_deposit_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--deposit`` and ``--owner``."""
    parser.add_argument(
        "--deposit",
        metavar="RANGE",
        action="append",
        default=[],
        help="deposited pages: START-END (END inclusive), START+SIZE, SIZE@START, "
        "[mem 0x..-0x..], pfn:START+COUNT, in 0x.. or with K M G T P, or @FILE of "
        "these, of CSV or JSON; may be repeated",
    )
    parser.add_argument(
        "--owner",
        metavar="N",
        type=whole_number,
        default=0,
        help="who deposited them, for example a partition id; a FILE that names its "
        "owners keeps them (default: 0)",
    )


def deposits_of(args: argparse.Namespace, console: Console) -> list[Deposit]:
    """Return the deposits of all ``--deposit`` options, in their order.

    How a range was taken goes to the console where its text does not say it.
    """
    deposits: list[Deposit] = []
    for text in args.deposit:
        if text.startswith("@"):
            deposits += _deposits_of_file(_named_file(text), args.owner, console)
            continue
        # memmap= takes several with a comma between them.
        for part in text.removeprefix("memmap=").split(","):
            start, end, note = read_range(part)
            say_how_taken((note,) if note else (), console)
            deposits.append(Deposit.from_bytes(start, end, args.owner))
    return deposits


def _deposits_of_file(path: Path, owner: int, console: Console) -> list[Deposit]:
    from e820pool.sources.deposits_file import parse_changes  # noqa: PLC0415

    changes = parse_changes(read_file(path), str(path))
    say_how_taken(changes.readings, console)
    return [d if d.owner else replace(d, owner=owner) for d in changes.deposits]


def say_how_taken(notes: tuple[str, ...], console: Console) -> None:
    """Print how ranges were read; of a long list only the first lines."""
    for line in notes[:_NOTES_SHOWN]:
        console.note(line)
    if len(notes) > _NOTES_SHOWN:
        console.note(f"and {len(notes) - _NOTES_SHOWN} more in the same way")


def _named_file(text: str) -> Path:
    if text == "@":
        raise InputError("'@' names no file: want @FILE")
    return Path(text[1:])


def handoff_with_deposits(args: argparse.Namespace, console: Console) -> Handoff:
    """Return the handoff that HANDOFF names, with ``--deposit`` added to its own."""
    from e820pool.sources.handoff_dir import read_handoff  # noqa: PLC0415  numpy

    handoff = read_handoff(args.handoff)
    devices = known_devices(args, handoff.memory_devices)
    handoff = replace(handoff, memory_devices=devices)
    more = deposits_of(args, console)
    return replace(handoff, ledger=handoff.ledger.deposit(more)) if more else handoff


def add_device_option(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
) -> None:
    """Add the memory devices of the machine."""
    parser.add_argument(
        "--memory-device",
        metavar="RANGE",
        action="append",
        default=[],
        help="the machine has an ACPI memory device there, START-END or START+SIZE; "
        "may be repeated; 'none' where it is known to have none",
    )


def known_devices(
    args: argparse.Namespace, devices: MemoryDevices | None
) -> MemoryDevices | None:
    """Return where memory can be added: what was found, and ``--memory-device``."""
    texts = getattr(args, "memory_device", [])
    if not texts:
        return devices
    spans = tuple(parse_range(text) for text in texts if text != "none")
    more = MemoryDevices(devices=spans)
    return more if devices is None else devices | more


@contextmanager
def bulk_lines(path: str, console: Console) -> Iterator[Iterator[bytes]]:
    """Open the file that ``--jsonl`` names, or ``-``, and give its lines.

    Of a line over the limit only so much is held that its reader refuses it. How
    much of a file is read is the progress of the command.

    Raises:
        InputError: the file cannot be read.
    """
    if path != "-":
        with _opened(path) as stream, _progress(stream, console) as progress:
            yield _lines(stream, progress)
    elif sys.stdin is None:
        raise InputError("standard input is closed: --jsonl - has nothing to read")
    else:
        stream = sys.stdin.buffer
        with _progress(stream, console) as progress:
            yield _lines(stream, progress)


# Of a pipe nobody knows how much will come.
def _progress(stream: IO[bytes], console: Console) -> Progress:
    size = None
    with suppress(OSError, ValueError):
        info = os.fstat(stream.fileno())
        size = info.st_size if stat.S_ISREG(info.st_mode) else None
    return Progress(console, "reading records", size, streams=True)


def _opened(path: str) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise InputError(f"cannot read {path!r}: {reason.lower()}") from exc


def _lines(stream: IO[bytes], progress: Progress) -> Iterator[bytes]:
    from e820pool.kernel.predict_records import MAX_LINE_CHARS  # noqa: PLC0415  numpy

    is_empty = True
    for line in bounded_lines(stream, MAX_LINE_CHARS, passed=progress.step):
        is_empty = False
        yield line
    if is_empty:
        raise InputError("--jsonl has no record: an answer to nothing is none")
