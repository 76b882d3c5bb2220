"""demo: the whole way on a shipped map."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.deposits import DepositLedger
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap

__all__ = ("DESCRIPTION", "EXAMPLE", "HELP", "NAME", "configure", "run")

NAME = "demo"
HELP = "the whole way on a shipped map, in seconds"
DESCRIPTION = """\
Read a real machine's map, deposit pages, build the handoff, ask every kernel, rebuild
the pool; print what is seen at each step and the command that does the same for you.
"""
EXAMPLE = "e820pool demo"

# Three partitions' deposits: one large, one beside the kernel, a scatter of pages.
_DEPOSITS = (
    ("256M+64M", 1),
    ("4G+512M", 2),
    *((f"{0x600000000 + i * 0x2000000:#x}+8K", 3) for i in range(17)),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """``demo`` takes no arguments of its own."""
    parser.set_defaults(format="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Walk the whole way; exit 0 when every step came out as it must."""
    from e820pool.handoff.build import build_handoff  # noqa: PLC0415  numpy
    from e820pool.sources import read_map  # noqa: PLC0415

    del args
    shipped = resources.files("e820pool.data").joinpath("demo-machine.txt")
    with resources.as_file(shipped) as path:
        memory_map = read_map(str(path))
    ledger = _ledger()
    handoff = build_handoff(memory_map, ledger)
    _show_maps(memory_map, handoff, console)
    with tempfile.TemporaryDirectory(prefix="e820pool-demo-") as folder:
        read_back = _through_files(handoff, Path(folder) / "out", console)
    safe = _judge(read_back, console)
    same = _rebuild(read_back, ledger, console)
    _what_next(console)
    return status.DONE if safe and same else status.NOT_SAFE


def _ledger() -> DepositLedger:
    from e820pool.deposits import (  # noqa: PLC0415  numpy
        Deposit,
        DepositLedger,
        parse_range,
    )

    return DepositLedger(
        Deposit.from_bytes(*parse_range(text), owner) for text, owner in _DEPOSITS
    )


def _show_maps(memory_map: MemoryMap, handoff: Handoff, console: Console) -> None:
    from e820pool.handoff.strict import whole_table  # noqa: PLC0415  numpy
    from e820pool.memory_map import MemoryMap as Map  # noqa: PLC0415
    from e820pool.report.picture import picture  # noqa: PLC0415

    after = Map(entries=whole_table(handoff))
    ledger = handoff.ledger
    console.result(
        f"1. A real machine's map ({len(memory_map)} entries), and the same after "
        f"{len(ledger)} deposits of {ledger.extents.nr_pages >> 8} MiB "
        f"({len(after)} entries):\n"
    )
    console.result(
        picture(
            memory_map,
            after,
            ledger.extents,
            width=min(shutil.get_terminal_size().columns, 100),
            ascii_only=not console.unicode,
        )
    )


def _through_files(handoff: Handoff, path: Path, console: Console) -> Handoff:
    from e820pool.report.handoff_dir import write_handoff  # noqa: PLC0415  numpy
    from e820pool.report.handoff_text import parts_table  # noqa: PLC0415
    from e820pool.sources.handoff_dir import read_handoff  # noqa: PLC0415

    write_handoff(handoff, path)
    console.result("\n2. What the next kernel gets, written out and read back:\n")
    console.result(parts_table(handoff))
    return read_handoff(path)


def _judge(handoff: Handoff, console: Console) -> bool:
    from e820pool.cli.commands.check import verdict_for  # noqa: PLC0415
    from e820pool.cli.targets import targets  # noqa: PLC0415
    from e820pool.report.verdicts import verdicts_text  # noqa: PLC0415

    found = [verdict_for(handoff, target) for target in targets("all")]
    console.result("\n3. Which kernels leave the deposited pages alone:\n")
    console.result(verdicts_text(found))
    return all(one.verdict == "safe" for one in found)


def _rebuild(handoff: Handoff, ledger: DepositLedger, console: Console) -> bool:
    from e820pool.cli.commands.rebuild import rebuilt  # noqa: PLC0415
    from e820pool.cli.targets import DEFAULT_KERNEL, one_target  # noqa: PLC0415

    result = rebuilt(handoff, one_target(DEFAULT_KERNEL))
    same = result.ledger == ledger
    nr_pages = 0 if result.ledger is None else result.ledger.extents.nr_pages
    console.result(
        f"\n4. The pool, rebuilt from what Linux {DEFAULT_KERNEL} sees: {nr_pages} "
        f"pages in {0 if result.ledger is None else len(result.ledger)} extents, "
        f"{'equal to what was deposited' if same else 'NOT what was deposited'}."
    )
    return same


def _what_next(console: Console) -> None:
    console.result(
        "\nNext, on your own machine:\n"
        "  e820pool show live --format picture\n"
        "  e820pool build live --deposit 1G+2M -o out\n"
        "  e820pool check out --kernel all\n"
        "  e820pool rebuild out"
    )
