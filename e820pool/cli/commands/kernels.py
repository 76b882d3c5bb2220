"""kernels: what is known of kernels, stock images of them, and kernels built here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.inputs import whole_number
from e820pool.cli.progress import Progress
from e820pool.cli.status import UsageError
from e820pool.errors import InputError
from e820pool.lab.build_config import (
    BuildConfig,
    base_options,
    like_options,
    parse_settings,
    wanted_options,
)
from e820pool.lab.fetch import DEFAULT_RELEASES, fetch_images
from e820pool.lab.images import built_images, cached_images, find_image
from e820pool.lab.kernel_build import BuildRequest, build_kernel, prune
from e820pool.lab.patch_file import read_patches, select_patches
from e820pool.report.kernels import (
    behaviours_json,
    behaviours_text,
    images_json,
    images_text,
)
from e820pool.sources.files import read_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from e820pool.cli.console import Console
    from e820pool.lab.patch_file import Patch

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
list   the matrix of behaviours by release, and the images that are here
fetch  stock images from the distribution's archive, through this machine's own apt
       sources (its configuration is not changed); without a release: those that
       differ most; `all` for each the archive has
build  one kernel from source, for the lab: a Debian source package as
       linux-source-6.1, a tree, TREE@REVISION of a git tree, or a tarball, none of
       which is changed; small unless options say more. The same source, patches,
       options and compiler are built once. `--kernel NAME` then means it
prune  remove kernels that were built; without a name all, and what was downloaded
       for them
"""
EXAMPLE = (
    "e820pool kernels build linux-source-7.3 --name kho-7.3 --set KEXEC_HANDOVER=y"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``kernels``."""
    actions = ("list", "fetch", "build", "prune")
    parser.add_argument("action", choices=actions, help="which of these")
    # Without a default argparse would call it required when the action is missing.
    parser.add_argument(
        "release",
        metavar="RELEASE",
        nargs="*",
        default=[],
        help="6.1, newest, all ...; build: the source; prune: names",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    group = parser.add_argument_group("build")
    group.add_argument("--name", metavar="TEXT", help="what --kernel will call it")
    group.add_argument(
        "--set",
        metavar="OPTION=VALUE",
        action="append",
        help="an option of its configuration, as KEXEC_HANDOVER=y; repeated",
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        help="a fragment of options, as CONFIG_EFI=y, a line each; repeated",
    )
    group.add_argument(
        "--like",
        metavar="FILE",
        help="a configuration, or the release of a fetched image, whose options that "
        "concern memory maps are taken",
    )
    group.add_argument(
        "--patch",
        metavar="FILE",
        action="append",
        help="a diff, an mbox, or a saved mail thread; FILE@1-6 takes six of a series; "
        "repeated, in order",
    )
    group.add_argument(
        "--jobs", metavar="N", type=whole_number, help="compilers (default: processors)"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """List, fetch, build or remove."""
    options = ("name", "set", "config", "like", "patch", "jobs")
    used = [option for option in options if getattr(args, option) is not None]
    if used and args.action != "build":
        raise UsageError(f"--{used[0]} is for 'kernels build'")
    actions = {"list": _list, "fetch": _fetch, "build": _build, "prune": _prune}
    return actions[args.action](args, console)


def _list(args: argparse.Namespace, console: Console) -> int:
    if args.format == "json":
        console.result(behaviours_json(args.release))
        return status.DONE
    images = (*cached_images(), *built_images())
    console.result(behaviours_text(args.release, console.width))
    console.result("\n" + images_text(images, console.width))
    return status.DONE


def _fetch(args: argparse.Namespace, console: Console) -> int:
    wanted = args.release or list(DEFAULT_RELEASES)
    with Progress(console, "looking at what is here") as progress:
        images = fetch_images(wanted, progress=progress.at_step)
    render = images_json if args.format == "json" else images_text
    console.result(render(images))
    return status.DONE


def _build(args: argparse.Namespace, console: Console) -> int:
    if len(args.release) != 1 or args.name is None:
        raise UsageError("build takes one source and --name NAME")
    request = BuildRequest(
        name=args.name,
        source=args.release[0],
        config=_config(args),
        patches=tuple(_patches(args.patch or [])),
        jobs=args.jobs or os.cpu_count() or 1,
    )
    with Progress(console, "looking at the source") as progress:
        built = build_kernel(request, progress=progress.at_step)
    if built.left_out:
        console.note(f"not taken, it did not stick: {', '.join(built.left_out)}")
    if not built.is_new:
        console.note("the same was built before: source, patches, options, compiler")
    render = images_json if args.format == "json" else images_text
    console.result(render([built.image]))
    return status.DONE


def _prune(args: argparse.Namespace, console: Console) -> int:
    gone = prune(args.release)
    console.note(f"removed: {', '.join(gone) or 'nothing was here'}")
    return status.DONE


def _config(args: argparse.Namespace) -> BuildConfig:
    wanted: dict[str, str] = {}
    for name in args.config or []:
        wanted |= wanted_options(_text(Path(name)), name)
    wanted |= parse_settings(args.set or [])
    like = {} if args.like is None else like_options(_like(args.like))
    return BuildConfig(base=base_options(wanted), like=like, wanted=wanted)


def _like(name: str) -> str:
    path = Path(name)
    return _text(path) if path.is_file() else find_image(name).read_config()


def _text(path: Path) -> str:
    return read_file(path).decode("utf-8", "replace")


# The name of a file may have an @ in it, too.
def _patches(names: list[str]) -> Iterator[Patch]:
    for name in names:
        path, at, numbers = name.rpartition("@")
        if not at or Path(name).is_file():
            path, numbers = name, ""
        elif not numbers:
            raise InputError(f"patch {name!r} names none: FILE@1-6 is meant")
        yield from select_patches(read_patches(Path(path)), numbers)
