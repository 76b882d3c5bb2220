"""report: what other commands found, as a page or as text for a mail."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi.boot_params import BOOT_PARAMS_BYTES
from e820pool.cli import status
from e820pool.cli.commands.check import verdict_for
from e820pool.cli.progress import Progress
from e820pool.cli.status import UsageError
from e820pool.cli.targets import add_kernel_option, targets
from e820pool.documents import kind_of, printable
from e820pool.errors import BadImageError, InputError
from e820pool.report.chapters import (
    KINDS,
    HandoffChapter,
    handoff_chapter,
    read_result,
)
from e820pool.report.output import write_file
from e820pool.sources.files import is_directory, read_file, read_stream
from e820pool.sources.handoff_dir import read_handoff

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.report.chapters import Chapter

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Make one page of HTML that needs nothing beside it: the map before and after, each
kernel's verdict with findings and sources, exhaustion curves, the timeline of a chain.
With --format mail, the same as plain text of 72 columns, to be pasted into a reply.

INPUT is a handoff directory (checked against --kernel), or what check, compare, stress
or chain wrote with --format json; recognised by content; several are chapters of one
report. The exit status says whether the report was made, not what it says.
"""
EXAMPLE = "e820pool report out -o report.html"

_ALL = "all"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``report``."""
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="handoff directory, JSON result, or - (stdin)",
    )
    add_kernel_option(parser, many=True, default=_ALL)
    parser.add_argument("--title", metavar="TEXT", default="", help="of the report")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write there instead of stdout"
    )
    parser.add_argument("--format", choices=("html", "mail"), default="html")


def run(args: argparse.Namespace, console: Console) -> int:
    """Read every input, then write the whole report or nothing."""
    if args.format == "html" and args.output is None and console.out.isatty():
        raise UsageError("a page of HTML is for a browser: give -o FILE, or a pipe")
    chapters = [_chapter(source, args.kernel, console) for source in args.inputs]
    _validate_kernel(args.kernel, chapters)
    text = _html(chapters, args) if args.format == "html" else _mail(chapters, args)
    if args.output is None:
        console.result(text)
    else:
        write_file(args.output, text)
    return status.DONE


def _validate_kernel(kernels: str, chapters: list[Chapter]) -> None:
    is_used = any(isinstance(chapter.content, HandoffChapter) for chapter in chapters)
    if kernels != _ALL and not is_used:
        raise UsageError("--kernel is for a handoff: a JSON result has its kernels")


def _html(chapters: list[Chapter], args: argparse.Namespace) -> str:
    from e820pool.report.page import html_report  # noqa: PLC0415  jinja2

    return html_report(chapters, title=args.title)


def _mail(chapters: list[Chapter], args: argparse.Namespace) -> str:
    from e820pool.report.mail import mail_report  # noqa: PLC0415  numpy

    return mail_report(chapters, title=args.title)


def _chapter(source: str, kernels: str, console: Console) -> Chapter:
    if source == "-":
        return read_result(_standard_input(), "standard input")
    if source == "live" or is_directory(Path(source)):
        return _handoff(source, kernels, console)
    data = read_file(Path(source))
    if data.lstrip()[:1] == b"{":
        chapter = read_result(data.decode("utf-8", "replace"), source)
        return replace(chapter, origin=_shown(source))
    if _is_zero_page(data):
        return _handoff(source, kernels, console)
    kinds = ", ".join(kind_of(kind) for kind in KINDS)
    raise BadImageError(
        f"{source!r} is neither a handoff nor a JSON result ({kinds}): make "
        "one with 'e820pool build', or with --format json"
    )


def _is_zero_page(data: bytes) -> bool:
    return len(data) == BOOT_PARAMS_BYTES and b"\0" in data


def _standard_input() -> str:
    if sys.stdin is None:
        raise InputError("standard input is closed: INPUT - has nothing to read")
    return read_stream(sys.stdin.buffer, "standard input").decode("utf-8", "replace")


def _handoff(source: str, kernels: str, console: Console) -> Chapter:
    handoff = read_handoff(source)
    named, verdicts = targets(kernels), []
    with Progress(console, "asking the models", len(named)) as progress:
        for target in named:
            verdicts.append(verdict_for(handoff, target))
            progress.step()
    return handoff_chapter(handoff, verdicts, _shown(source))


# Where it lies on this machine is no business of a mailing list.
def _shown(source: str) -> str:
    return printable(Path(source).name or source)
