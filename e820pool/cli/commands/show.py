"""show: any input, in any output form."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.console import add_color_option
from e820pool.cli.inputs import add_source_argument, source_map
from e820pool.cli.status import UsageError
from e820pool.findings import counted
from e820pool.report.forms import (
    c_source,
    dmesg_text,
    iomem_text,
    losses,
    memmap_notes,
    memmap_option,
)
from e820pool.report.map_table import device_lines, map_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from e820pool.cli.console import Console
    from e820pool.memory_map import MemoryMap
    from e820pool.report.forms import Form
    from e820pool.type_words import LogDialect

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Read any source and show its map, in the order of the source. What the form cannot
say, and what was odd in the source, is told on stderr.

read: boot_params (a file, its hexdump, /sys/kernel/boot_params), kernel logs,
/proc/iomem, /sys/firmware/memmap (the tree, or grep "" */* of it), Xen's log (xl
dmesg), kexec -d, SeaBIOS, coreboot, GRUB (lsmmap, lsefimmap), FreeBSD (SMAP), an EFI
memory map (efi=debug, memmap of the UEFI shell), our JSON, a handoff directory; also
as gz, bz2, xz or zst. Where a source has several maps, the machine's is read and the
others are named.

forms: table, picture, json, dmesg (3.5 to 6.19), dmesg-7.0, dmesg-pre-3.5, dmesg-2.4,
iomem, memmap (a memmap= option), c, svg, blob (a zero page); and, with -o DIR,
memmap-tree (shaped as /sys/firmware/memmap) or boot-params-tree (as
/sys/kernel/boot_params). Of a handoff directory picture and svg show the map before
and after, with its deposits.
"""
EXAMPLE = "e820pool show live --format picture"

_LOGS: dict[str, LogDialect] = {
    "dmesg": "3.5",
    "dmesg-7.0": "7.0",
    "dmesg-pre-3.5": "pre-3.5",
    "dmesg-2.4": "2.4",
}
_TREES = ("memmap-tree", "boot-params-tree")
# Forms with words for types, which cannot say everything.
_LOSSY: dict[str, Form] = {**_LOGS, "iomem": "iomem", "memmap-tree": "memmap"}
_FORMS = ("table", "picture", "json", *_LOGS, "iomem", "memmap", "c", "svg", "blob")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``show``."""
    add_source_argument(parser)
    parser.add_argument(
        "--format", choices=(*_FORMS, *_TREES), default="table", metavar="FORM"
    )
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="write there instead of stdout"
    )
    add_color_option(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Read the source and say it in the form."""
    if args.output is not None and console.color == "auto":
        console.color = "never"
    memory_map = source_map(args, console)
    if lossy := _LOSSY.get(args.format):
        console.findings(losses(memory_map, lossy))
    if args.format in _TREES:
        _write_tree(memory_map, args)
    elif args.format == "blob":
        _write_blob(memory_map, args, console)
    elif args.output is None and (lines := _lines(memory_map, args.format)):
        console.lines(lines)
    else:
        text = _text(memory_map, args, console)
        if args.output is None:
            console.result(text)
        else:
            _write(text, args.output)
    return status.DONE


def _text(memory_map: MemoryMap, args: argparse.Namespace, console: Console) -> str:
    if lines := _lines(memory_map, args.format):
        return "\n".join(lines)
    match args.format:
        case "picture" | "svg":
            return _drawn(memory_map, args, console)
        case "iomem":
            return iomem_text(memory_map)
        case "c":
            return c_source(memory_map)
        case "memmap":
            console.findings(memmap_notes(memory_map))
            return memmap_option(memory_map)
    return dmesg_text(memory_map, _LOGS[args.format], args.block or "bios")


# Long ones are written as they are made.
def _lines(memory_map: MemoryMap, form: str) -> Iterator[str] | None:
    if form == "table":
        lines = list(device_lines(memory_map.devices))
        return chain(map_lines(memory_map), [""] if lines else [], lines)
    if form == "json":
        from e820pool.sources.map_json import map_json_lines  # noqa: PLC0415  msgspec

        return map_json_lines(memory_map)
    return None


# A map or, of a handoff, what became of the firmware's.
def _drawn(memory_map: MemoryMap, args: argparse.Namespace, console: Console) -> str:
    from e820pool.report.picture import picture  # noqa: PLC0415  construct
    from e820pool.report.svg import svg_picture  # noqa: PLC0415
    from e820pool.sources.handoff_dir import is_handoff_dir, read_handoff  # noqa: PLC0415

    before, after, deposits = memory_map, None, None
    path, title = Path(args.source), memory_map.origin
    if args.source not in ("-", "live") and path.is_dir() and is_handoff_dir(path):
        handoff = read_handoff(path)
        if handoff.firmware_map is not None:
            before, after = handoff.firmware_map, memory_map
            deposits = handoff.ledger.extents
            counts = f"{counted(len(before), 'entry')} before, {len(after)} after"
            title = f"{after.origin}: {counts}"
    if args.format == "svg":
        return svg_picture(before, after, deposits, title=title)
    return picture(
        before,
        after,
        deposits,
        width=shutil.get_terminal_size().columns,
        ascii_only=not console.unicode,
        paint=console.paint,
    )


def _write(data: bytes | str, path: str) -> None:
    from e820pool.report.output import write_file  # noqa: PLC0415  tempfile

    write_file(path, data)


def _write_blob(
    memory_map: MemoryMap, args: argparse.Namespace, console: Console
) -> None:
    from e820pool.report.blob import boot_params_blob  # noqa: PLC0415  construct

    blob = boot_params_blob(memory_map)
    if args.output is not None:
        _write(blob, args.output)
        return
    if console.out.isatty():
        raise UsageError("a blob is 4096 bytes of binary: give -o FILE or a pipe")
    console.binary(blob)


def _write_tree(memory_map: MemoryMap, args: argparse.Namespace) -> None:
    from e820pool.loading.kexec_loaders import memmap_files  # noqa: PLC0415  construct
    from e820pool.report.blob import split_blob  # noqa: PLC0415
    from e820pool.report.output import write_tree  # noqa: PLC0415

    if args.output is None:
        raise UsageError(f"--format {args.format} makes a directory: give -o DIR")
    is_page = args.format == "boot-params-tree"
    files = split_blob(memory_map) if is_page else memmap_files(memory_map.rows())
    write_tree(args.output, files)
