"""rebuild: the pool, from what a booted kernel has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi import pool_record
from e820pool.abi.pool_record import SETUP_E820POOL
from e820pool.cli import status
from e820pool.cli.status import UsageError
from e820pool.cli.targets import (
    add_kernel_option,
    default_kernel,
    one_target,
    view_of,
)
from e820pool.errors import BadImageError
from e820pool.live.inherited import STATE_FOLDER, pool_of_kept
from e820pool.pool.rebuild import rebuild
from e820pool.report.pool_text import pool_json, pool_text
from e820pool.sources.handoff_dir import read_handoff
from e820pool.sources.live_machine import read_live_view
from e820pool.sources.recognise import read_map

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.cli.targets import Target
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.rebuild import RebuildResult

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "rebuilt", "run")

DESCRIPTION = """\
Rebuild the pool from the kernel's own table and the pool record, or, with
--firmware-map, from what is RESERVED now and was RAM in the firmware's map. Refuses
unless every page is protected: a wrong pool is never returned.
"""
EXAMPLE = "e820pool rebuild out"

# SETUP_NONE: the node keeps its place in the chain and in memory.
_NOTHING = 0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``rebuild``."""
    parser.add_argument("handoff", metavar="HANDOFF", help="directory, or live")
    add_kernel_option(parser, many=False)
    parser.add_argument(
        "--firmware-map",
        metavar="SOURCE",
        help="the map before deposits, for rebuilding without a record",
    )
    parser.add_argument(
        "--no-record",
        action="store_true",
        help="as if there were no pool record: infer the pool from --firmware-map",
    )
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        help="of live: where `kexec` kept the record (default: /var/lib/e820pool)",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """Rebuild and print the pool; 1 when it is refused, 3 for a broken record."""
    handoff = read_handoff(args.handoff)
    console.findings(handoff.notes)
    firmware = None if args.firmware_map is None else read_map(args.firmware_map)
    console.findings(firmware.notes if firmware else ())
    if args.no_record:
        if firmware is None:
            raise UsageError("--no-record leaves nothing without --firmware-map")
        handoff = _without_record(handoff)
    result = _result(handoff, firmware, args)
    console.result((pool_json if args.format == "json" else pool_text)(result))
    if result.pool is not None:
        return status.DONE
    console.out.flush()
    _raise_for_record(result)
    return status.NOT_SAFE


def _result(
    handoff: Handoff, firmware: MemoryMap | None, args: argparse.Namespace
) -> RebuildResult:
    if args.handoff == "live" and args.kernel is None:
        return _of_this_machine(handoff, firmware, args)
    return rebuilt(handoff, one_target(default_kernel(args)), firmware)


def _of_this_machine(
    handoff: Handoff, firmware: MemoryMap | None, args: argparse.Namespace
) -> RebuildResult:
    record = handoff.record_bytes()
    if record is None and firmware is None:
        result = pool_of_kept(args.state or STATE_FOLDER)
        if result is not None:
            return result
    return rebuild(read_live_view(), record, firmware)


def _without_record(handoff: Handoff) -> Handoff:
    """Return the handoff with its record nodes' type made one that says nothing."""
    nodes = (
        replace(placed, node=replace(placed.node, type=_NOTHING))
        if placed.node.type == SETUP_E820POOL
        else placed
        for placed in handoff.nodes
    )
    return replace(handoff, nodes=tuple(nodes))


def _raise_for_record(result: RebuildResult) -> None:
    # Broken bytes are the input's fault; a sound record that the kernel's table
    # contradicts is not.

    broken = (
        pool_record.RECORD_BAD_MAGIC,
        pool_record.RECORD_TRUNCATED,
        pool_record.RECORD_NEWER_VERSION,
        pool_record.RECORD_BAD_CRC,
        pool_record.RECORD_BAD_EXTENTS,
    )
    for finding in result.findings:
        if finding.id in broken:
            raise BadImageError(f"{finding.message} [{finding.id}]")


def rebuilt(
    handoff: Handoff, target: Target, firmware_map: MemoryMap | None = None
) -> RebuildResult:
    """Return the pool that this kernel would rebuild.

    A record is also held against the map that the handoff was made from, where the
    directory has it; without a record nothing is inferred unless a map is given.
    """
    _, view = view_of(handoff, target)
    record = handoff.record_bytes()
    if record is not None and firmware_map is None:
        firmware_map = handoff.firmware_map
    return rebuild(view, record, firmware_map=firmware_map)
