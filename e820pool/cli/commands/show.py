"""show: any input, in any output form."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from e820pool.cli import status
from e820pool.cli.console import add_color_option
from e820pool.cli.inputs import add_source_argument, source_map
from e820pool.cli.status import UsageError
from e820pool.findings import counted
from e820pool.report.losses import losses
from e820pool.report.table import device_lines, map_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from e820pool.cli.console import Console
    from e820pool.extents import ExtentSet
    from e820pool.findings import Finding
    from e820pool.memory_map import MemoryMap
    from e820pool.report.losses import Form
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


class _Drawn(NamedTuple):
    # In the order of the arguments of what draws them.
    before: MemoryMap
    after: MemoryMap | None = None
    deposits: ExtentSet | None = None


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
    console.findings(_losses(memory_map, args.format))
    if args.format in _TREES:
        _write_tree(memory_map, args)
    elif args.format == "blob":
        _write_blob(memory_map, args, console)
    elif args.output is None and (lines := _lines(memory_map, args.format)):
        console.lines(lines)
    else:
        _write_text(_text(memory_map, args, console), args.output, console)
    return status.DONE


def _text(memory_map: MemoryMap, args: argparse.Namespace, console: Console) -> str:
    form: str = args.format
    if form in _LOGS:
        return _log(memory_map, form, args.block or "bios")
    if form in _DRAWN:
        return _DRAWN[form](_drawn(memory_map, args.source), console)
    if lines := _lines(memory_map, form):
        return "\n".join(lines)
    return _MAKERS[form](memory_map, console)


# What a picture shows: a map or, of a handoff, what became of the firmware's.
def _drawn(memory_map: MemoryMap, source: str) -> _Drawn:
    from e820pool.sources.handoff_dir import (  # noqa: PLC0415  construct
        is_handoff_dir,
        read_handoff,
    )

    path = Path(source)
    if source not in ("-", "live") and path.is_dir() and is_handoff_dir(path):
        handoff = read_handoff(path)
        if handoff.firmware_map is not None:
            return _Drawn(handoff.firmware_map, memory_map, handoff.ledger.extents)
    return _Drawn(memory_map)


def _log(memory_map: MemoryMap, form: str, block: str) -> str:
    from e820pool.report.dmesg import dmesg_text  # noqa: PLC0415  numpy

    return dmesg_text(memory_map, _LOGS[form], block)


def _picture(drawn: _Drawn, console: Console) -> str:
    from e820pool.report.picture import picture  # noqa: PLC0415  numpy

    return picture(
        *drawn,
        width=shutil.get_terminal_size().columns,
        ascii_only=not console.unicode,
        paint=console.paint,
    )


def _svg(drawn: _Drawn, _console: Console) -> str:
    from e820pool.report.svg import svg_picture  # noqa: PLC0415  numpy

    title = drawn.before.origin
    if drawn.after is not None:
        counts = (
            f"{counted(len(drawn.before), 'entry')} before, {len(drawn.after)} after"
        )
        title = f"{drawn.after.origin}: {counts}"
    return svg_picture(*drawn, title=title)


_DRAWN: dict[str, Callable[[_Drawn, Console], str]] = {
    "picture": _picture,
    "svg": _svg,
}


# Long ones are written as they are made.
def _lines(memory_map: MemoryMap, form: str) -> Iterator[str] | None:
    if form == "table":
        lines = list(device_lines(memory_map.devices))
        return chain(map_lines(memory_map), [""] if lines else [], lines)
    if form == "json":
        from e820pool.sources.map_json import map_json_lines  # noqa: PLC0415  msgspec

        return map_json_lines(memory_map)
    return None


def _iomem(memory_map: MemoryMap, _console: Console) -> str:
    from e820pool.report.iomem import iomem_text  # noqa: PLC0415  numpy

    return iomem_text(memory_map)


def _memmap(memory_map: MemoryMap, console: Console) -> str:
    from e820pool.report.cmdline import (  # noqa: PLC0415  numpy
        memmap_notes,
        memmap_option,
    )

    console.findings(memmap_notes(memory_map))
    return memmap_option(memory_map)


def _c(memory_map: MemoryMap, _console: Console) -> str:
    from e820pool.report.c_source import c_source  # noqa: PLC0415  numpy

    return c_source(memory_map)


_MAKERS: dict[str, Callable[[MemoryMap, Console], str]] = {
    "iomem": _iomem,
    "memmap": _memmap,
    "c": _c,
}


def _losses(memory_map: MemoryMap, form: str) -> tuple[Finding, ...]:
    lossy: Form | None = _LOSSY.get(form)
    return losses(memory_map, lossy) if lossy else ()


def _write_text(text: str, path: str | None, console: Console) -> None:
    from e820pool.report.files import write_file  # noqa: PLC0415  numpy

    if path is None:
        console.result(text)
    else:
        write_file(path, text)


def _write_blob(
    memory_map: MemoryMap, args: argparse.Namespace, console: Console
) -> None:
    from e820pool.report.blob import boot_params_blob  # noqa: PLC0415  numpy
    from e820pool.report.files import write_file  # noqa: PLC0415

    blob = boot_params_blob(memory_map)
    if args.output is not None:
        write_file(args.output, blob)
        return
    if console.out.isatty():
        raise UsageError("a blob is 4096 bytes of binary: give -o FILE or a pipe")
    console.binary(blob)


def _write_tree(memory_map: MemoryMap, args: argparse.Namespace) -> None:
    from e820pool.report.blob import write_boot_params_tree  # noqa: PLC0415  numpy
    from e820pool.report.memmap_tree import write_memmap_tree  # noqa: PLC0415

    if args.output is None:
        raise UsageError(f"--format {args.format} makes a directory: give -o DIR")
    write = write_memmap_tree
    if args.format == "boot-params-tree":
        write = write_boot_params_tree
    write(memory_map, args.output)
