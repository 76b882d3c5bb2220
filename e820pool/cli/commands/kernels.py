"""kernels: what is known of kernels, and images of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.progress import Progress
from e820pool.lab.fetch import DEFAULT_RELEASES, fetch_images
from e820pool.lab.images import cached_images
from e820pool.report.kernels import (
    behaviours_json,
    behaviours_text,
    images_json,
    images_text,
)

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
list   the matrix of behaviours by release, and the images that are here
fetch  stock images from the distribution's archive, through this machine's own apt
       sources (its configuration is not changed); without a release: those that
       differ most; `all` for each the archive has
"""
EXAMPLE = "e820pool kernels fetch 6.1 newest"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``kernels``."""
    parser.add_argument("action", choices=("list", "fetch"), help="which of the two")
    # Without a default argparse would call it required when the action is missing.
    parser.add_argument(
        "release", metavar="RELEASE", nargs="*", default=[], help="6.1, newest, all ..."
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace, console: Console) -> int:
    """List or fetch."""
    return _fetch(args, console) if args.action == "fetch" else _list(args, console)


def _list(args: argparse.Namespace, console: Console) -> int:
    if args.format == "json":
        console.result(behaviours_json(args.release))
        return status.DONE
    console.result(behaviours_text(args.release, console.width))
    console.result("\n" + images_text(cached_images(), console.width))
    return status.DONE


def _fetch(args: argparse.Namespace, console: Console) -> int:
    wanted = args.release or list(DEFAULT_RELEASES)
    with Progress(console, "looking at what is here") as progress:
        images = fetch_images(wanted, progress=progress.at_step)
    render = images_json if args.format == "json" else images_text
    console.result(render(images))
    return status.DONE
