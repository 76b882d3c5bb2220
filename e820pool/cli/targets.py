"""What ``--kernel`` names: releases, all of them, or a kernel image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import InputError

if TYPE_CHECKING:
    import argparse

    from e820pool.kernel.profiles import Profile

__all__ = ("DEFAULT_KERNEL", "Target", "add_kernel_option", "one_target", "targets")

DEFAULT_KERNEL = "6.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Name one kernel to judge; ``profile`` is None where it is not known."""

    name: str
    profile: Profile | None
    reason: str = ""


def add_kernel_option(
    parser: argparse.ArgumentParser, *, many: bool, default: str = DEFAULT_KERNEL
) -> None:
    """Add ``--kernel`` with the words that this module reads."""
    form = "all, a comma list of releases, or an image" if many else "release or image"
    parser.add_argument(
        "--kernel",
        metavar="KERNEL",
        default=default,
        help=f"{form} (default: {default})",
    )


def targets(text: str) -> list[Target]:
    """Return the kernels that ``text`` names.

    A release that has no profile is a target without one: its verdict is
    ``unknown``, which is not a usage error.
    """
    from e820pool.kernel.profiles import known_releases  # noqa: PLC0415  numpy

    if text == "all":
        return [_release(name) for name in known_releases()]
    return [_target(part.strip()) for part in text.split(",") if part.strip()]


def one_target(text: str) -> Profile:
    """Return the one profile that ``text`` names; InputError when not known."""
    target = _target(text)
    if target.profile is None:
        raise InputError(target.reason)
    return target.profile


def _target(text: str) -> Target:
    return _image(Path(text)) if Path(text).is_file() else _release(text)


def _release(text: str) -> Target:
    from e820pool.kernel.profiles import profile_for  # noqa: PLC0415  numpy

    try:
        return Target(name=text, profile=profile_for(text))
    except InputError as exc:
        return Target(name=text, profile=None, reason=str(exc))


def _image(path: Path) -> Target:
    from e820pool.abi.bzimage import parse_bzimage  # noqa: PLC0415  construct

    return _release(parse_bzimage(path.read_bytes()).release)
