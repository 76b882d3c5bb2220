"""explain: what a finding means, why it matters and what to do about it."""

from __future__ import annotations

from shutil import get_terminal_size
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.next_steps import nearest
from e820pool.documents import document_text
from e820pool.errors import InputError
from e820pool.report.explanations import (
    Explanations,
    explanation_text,
    explanations,
    list_text,
)

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Print cause, consequence, remedy and source of a finding, as specs/findings.md has them;
without a FINDING the ids of all.
"""
EXAMPLE = "e820pool explain usable-as-ram"

# Lines longer than this are hard to read, however wide the terminal is.
_WIDEST = 88


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``explain``."""
    parser.add_argument(
        "finding",
        metavar="FINDING",
        nargs="?",
        help="an id, as it stands in [brackets] or in the column findings",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the text of one finding, or the ids."""
    texts = explanations()
    width = min(get_terminal_size().columns, _WIDEST)
    if args.finding is None:
        if args.format == "json":
            console.result(document_text(Explanations(findings=tuple(texts.values()))))
        else:
            console.result(list_text(texts.values(), width))
        return status.DONE
    ident = args.finding.strip("[]")
    if ident not in texts:
        like = nearest(ident, texts)
        meant = f", did you mean {like!r}?" if like else ""
        raise InputError(
            f"no finding has the id {ident!r}{meant} (without an id explain lists all "
            f"{len(texts)})"
        )
    explanation = texts[ident]
    if args.format == "json":
        console.result(document_text(explanation))
    else:
        console.result(explanation_text(explanation, width))
    return status.DONE
