"""demo: the whole way on a shipped map."""

from __future__ import annotations

import shutil
from importlib import resources
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.commands.check import verdict_for
from e820pool.cli.commands.rebuild import rebuilt
from e820pool.cli.console import add_color_option
from e820pool.cli.targets import DEFAULT_KERNEL, one_target, targets
from e820pool.deposits import Deposit, DepositLedger, parse_range
from e820pool.findings import counted
from e820pool.handoff.build import build_handoff
from e820pool.memory_map import MemoryMap as Map
from e820pool.report.handoff_files import write_handoff
from e820pool.report.handoff_text import demo_json, parts_table
from e820pool.report.output import scratch_folder
from e820pool.report.picture import picture
from e820pool.report.verdicts import verdicts_text
from e820pool.sources.handoff_dir import read_handoff
from e820pool.sources.recognise import read_map

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.compat import Verdict
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.rebuild import RebuildResult

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

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
    """Add the arguments of ``demo``."""
    parser.add_argument("--format", choices=("text", "json"), default="text")
    add_color_option(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Walk the whole way; exit 0 when every step came out as it must."""
    shipped = resources.files("e820pool.data").joinpath("demo-machine.txt")
    with resources.as_file(shipped) as path:
        memory_map = read_map(str(path))
    handoff = build_handoff(memory_map, _ledger())
    with scratch_folder("e820pool-demo-") as folder:
        write_handoff(handoff, folder / "out")
        read_back = read_handoff(folder / "out")
    verdicts = [verdict_for(read_back, target) for target in targets("all")]
    result = rebuilt(read_back, one_target(DEFAULT_KERNEL))
    if args.format == "json":
        console.result(demo_json(memory_map, read_back, verdicts, result.ledger))
    else:
        _tell(memory_map, read_back, verdicts, result, console)
    safe = all(verdict.verdict == "safe" for verdict in verdicts)
    return status.DONE if safe and result.ledger == handoff.ledger else status.NOT_SAFE


def _ledger() -> DepositLedger:
    return DepositLedger(
        Deposit.from_bytes(*parse_range(text), owner) for text, owner in _DEPOSITS
    )


def _show_maps(memory_map: MemoryMap, handoff: Handoff, console: Console) -> None:
    after = Map(entries=handoff.table.entries)
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
            paint=console.paint,
        )
    )


def _tell(
    memory_map: MemoryMap,
    handoff: Handoff,
    verdicts: list[Verdict],
    result: RebuildResult,
    console: Console,
) -> None:
    _show_maps(memory_map, handoff, console)
    console.result("\n2. What the next kernel gets, written out and read back:\n")
    console.result(parts_table(handoff))
    console.result("\n3. Which kernels leave the deposited pages alone:\n")
    console.result(verdicts_text(verdicts, paint=console.paint, width=console.width))
    pool = result.ledger
    same = "equal to" if pool == handoff.ledger else "NOT"
    console.result(
        f"\n4. The pool, rebuilt from what Linux {DEFAULT_KERNEL} sees: "
        f"{counted(pool.extents.nr_pages if pool else 0, 'page')} in "
        f"{counted(len(pool) if pool else 0, 'extent')}, {same} what was deposited.\n"
        "\nNext, on your own machine:\n"
        "  e820pool show live --format picture\n"
        "  e820pool build live --deposit 1G+2M -o out\n"
        "  e820pool check out --kernel all\n"
        "  e820pool rebuild out"
    )
