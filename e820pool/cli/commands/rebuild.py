"""rebuild: the pool, from what a booted kernel has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.targets import (
    add_kernel_option,
    default_kernel,
    one_target,
    view_of,
)

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.cli.targets import Target
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.rebuild import RebuildResult

__all__ = ("DESCRIPTION", "EXAMPLE", "HELP", "NAME", "configure", "rebuilt", "run")

NAME = "rebuild"
HELP = "rebuild the pool after a boot"
DESCRIPTION = """\
Rebuild the pool from the kernel's own table and the pool record, or, with
--firmware-map, from what is RESERVED now and was RAM in the firmware's map. Refuses
unless every page is protected: a wrong pool is never returned.
"""
EXAMPLE = "e820pool rebuild out"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``rebuild``."""
    parser.add_argument("handoff", metavar="HANDOFF", help="directory, or live")
    add_kernel_option(parser, many=False)
    parser.add_argument(
        "--firmware-map",
        metavar="SOURCE",
        help="the map before deposits, for rebuilding without a record",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Rebuild and print the pool; 1 when it is refused."""
    from e820pool.pool.rebuild import rebuild  # noqa: PLC0415  numpy
    from e820pool.report.pool_text import pool_json, pool_text  # noqa: PLC0415
    from e820pool.sources import read_map  # noqa: PLC0415
    from e820pool.sources.handoff_dir import read_handoff  # noqa: PLC0415
    from e820pool.sources.live_view import read_live_view  # noqa: PLC0415

    handoff = read_handoff(args.handoff)
    console.findings(handoff.notes)
    firmware = None if args.firmware_map is None else read_map(args.firmware_map)
    console.findings(firmware.notes if firmware else ())
    if args.handoff == "live":
        result = rebuild(read_live_view(), handoff.record_bytes(), firmware)
    else:
        result = rebuilt(handoff, one_target(default_kernel(args)), firmware)
    console.result((pool_json if args.format == "json" else pool_text)(result))
    return status.DONE if result.pool is not None else status.NOT_SAFE


def rebuilt(
    handoff: Handoff, target: Target, firmware_map: MemoryMap | None = None
) -> RebuildResult:
    """Return the pool that this kernel would rebuild.

    A record is also held against the map that the handoff was made from, where the
    directory has it; without a record nothing is inferred unless a map is given.
    """
    from e820pool.pool.rebuild import rebuild  # noqa: PLC0415  numpy

    _, view = view_of(handoff, target)
    record = handoff.record_bytes()
    if record is not None and firmware_map is None:
        firmware_map = handoff.firmware_map
    return rebuild(view, record, firmware_map=firmware_map)
