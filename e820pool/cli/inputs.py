"""Arguments that several commands share: sources, deposits, handoffs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from e820pool.deposits import Deposit
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap

__all__ = (
    "add_deposit_options",
    "add_source_argument",
    "deposits_of",
    "handoff_with_deposits",
    "source_map",
)

_BLOCKS = ("bios", "extended", "setup_data", "user", "modified")


def add_source_argument(parser: argparse.ArgumentParser) -> None:
    """Add SOURCE and the choice of a log's block."""
    parser.add_argument("source", metavar="SOURCE", help="file, directory, - or live")
    parser.add_argument(
        "--block",
        choices=_BLOCKS,
        default="bios",
        help="which map of a kernel log to read (default: bios)",
    )


def source_map(args: argparse.Namespace) -> MemoryMap:
    """Return the map that SOURCE and --block name."""
    from e820pool.sources import read_map  # noqa: PLC0415  numpy

    return read_map(args.source, block=args.block)


def add_deposit_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--deposit`` and ``--owner``."""
    parser.add_argument(
        "--deposit",
        metavar="RANGE",
        action="append",
        default=[],
        help="deposited pages: START-END, START+SIZE or @FILE; may be repeated",
    )
    parser.add_argument(
        "--owner",
        metavar="N",
        type=lambda text: int(text, 0),
        default=0,
        help="who deposited them, for example a partition id (default: 0)",
    )


def deposits_of(args: argparse.Namespace) -> list[Deposit]:
    """Return the deposits of all ``--deposit`` options, in their order."""
    from e820pool.deposits import Deposit, parse_range  # noqa: PLC0415  numpy
    from e820pool.sources.deposits_file import read_deposits  # noqa: PLC0415

    found: list[Deposit] = []
    for text in args.deposit:
        if text.startswith("@"):
            found += read_deposits(text[1:])
        else:
            start, end = parse_range(text)
            found.append(Deposit.from_bytes(start, end, args.owner))
    return found


def handoff_with_deposits(args: argparse.Namespace) -> Handoff:
    """Return the handoff that HANDOFF names, with ``--deposit`` added to its own."""
    from e820pool.sources.handoff_dir import read_handoff  # noqa: PLC0415  numpy

    handoff = read_handoff(args.handoff)
    more = deposits_of(args)
    return replace(handoff, ledger=handoff.ledger.deposit(more)) if more else handoff
