"""What ``--kernel`` names: releases, all of them, or a kernel image."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli.status import UnknownKernelError, UsageError
from e820pool.errors import InputError
from e820pool.findings import one_line
from e820pool.kernel.profiles import known_releases, profile_for, with_config
from e820pool.loading.kernel_file import KernelFile, profile_of, read_kernel_file
from e820pool.sources.kernel_config import read_config, read_running_config

if TYPE_CHECKING:
    import argparse

    from e820pool.handoff.model import Handoff
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = (
    "DEFAULT_KERNEL",
    "Target",
    "add_config_option",
    "add_fail_option",
    "add_kernel_option",
    "configured",
    "default_kernel",
    "image_path",
    "loaded",
    "one_target",
    "targets",
    "view_of",
)

_INSTALLED = ("running", "newest")

DEFAULT_KERNEL = "6.1"  #: Where no kernel is named.


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kernel to judge.

    Attributes:
        name: as it was asked for.
        profile: None where the kernel is not known, for ``reason``.
        image: the bzImage file's bytes, None for a release.
    """

    name: str
    profile: Profile | None
    reason: str = ""
    image: bytes | None = None


def add_kernel_option(
    parser: argparse.ArgumentParser, *, many: bool, default: str | None = None
) -> None:
    """Add ``--kernel`` with the words that this module reads."""
    form = (
        "a release, an image, a name of 'kernels build'; of /boot: a version, "
        "`running`, `newest` (with none there the newest release that is known)"
    )
    if many:
        form = f"all, or a comma list: {form}"
    shown = default or f"{DEFAULT_KERNEL}; of live, the one that runs"
    parser.add_argument(
        "--kernel", metavar="KERNEL", default=default, help=f"{form} (default: {shown})"
    )


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, which :func:`configured` reads."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="build configuration of the kernel, as /boot/config-* or /proc/config.gz "
        "(default: what lies beside the image, at the root of its build tree or is in "
        "it; of the kernel that runs here its own; else Debian's)",
    )


def add_fail_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--fail-on``: from which verdict on the exit status is 1."""
    parser.add_argument(
        "--fail-on",
        choices=("unsafe", "degraded"),
        default="degraded",
        help="the mildest verdict that gives exit status 1 (default: degraded)",
    )


def configured(target: Target, path: str | None) -> Target:
    """Return the target as it was built with the configuration in a file.

    Raises:
        InputError, BadImageError: the file cannot be read, or is no configuration.
    """
    if path is None or target.profile is None:
        return target
    return replace(target, profile=with_config(target.profile, read_config(path)))


def default_kernel(args: argparse.Namespace) -> str:
    """Return ``--kernel``, or the kernel that made what HANDOFF names."""
    if args.kernel is not None:
        return str(args.kernel)
    return os.uname().release if args.handoff == "live" else DEFAULT_KERNEL


def image_path(text: str) -> Path:
    """Return the file that ``text`` names: a path, or a kernel that was built here."""
    if _is_image(text) or not text[:1].isalpha():
        return Path(text)
    from e820pool.lab.images import built_images  # noqa: PLC0415  numpy

    built = {image.name: image.path for image in built_images()}
    return built.get(text, Path(text))


def targets(text: str) -> list[Target]:
    """Return the kernels that ``text`` names, each once.

    A release that has no profile is a target without one: its verdict is
    ``unknown``, which is not an error.

    Raises:
        UsageError: it names none at all.
        InputError, BadImageError: an image cannot be read, or is none.
    """
    if text == "all":
        return [_release(name) for name in known_releases()]
    if Path(text).is_file():  # the name of a file may have commas
        return [_target(text)]
    names = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise UsageError(
            f"--kernel {text!r} names no kernel: a verdict on none is none"
        )
    every = known_releases() if "all" in names else ()
    listed = [_target(name) for name in (*every, *names) if name != "all"]
    return list({target.name: target for target in listed}.values())


def one_target(text: str) -> Target:
    """Return the one kernel that ``text`` names, which has a profile.

    Raises:
        UnknownKernelError: it has none.
        InputError, BadImageError: an image cannot be read, or is none.
    """
    target = _target(text)
    if target.profile is None:
        raise UnknownKernelError(target.reason)
    return target


def view_of(handoff: Handoff, target: Target) -> tuple[Handoff, KernelView]:
    """Return what the modelled kernel makes of the handoff, and the handoff it got.

    An image brings its own header and window, as its loader would place it.

    Raises:
        UnknownKernelError: the target has no profile.
        CapacityError: the image has no place outside deposits.
    """
    from e820pool.kernel.early_boot import predict  # noqa: PLC0415  numpy

    if target.profile is None:
        raise UnknownKernelError(target.reason)
    handed = loaded(handoff, target)
    return handed, predict(handed, target.profile)


def loaded(handoff: Handoff, target: Target) -> Handoff:
    """Return the handoff as the target's loader completes it, if it is an image.

    Raises:
        CapacityError: the image has no place outside deposits.
    """
    if target.image is None:
        return handoff
    from e820pool.loading.bind import bind  # noqa: PLC0415  construct

    return bind(handoff, KernelFile(name=target.name, image=target.image))


def _target(text: str) -> Target:
    if _is_image(text):
        return _image(Path(text))
    # A whole version, of a kernel that is installed here, names its image.
    if text in _INSTALLED or Path(f"/boot/vmlinuz-{text}").is_file():
        return _installed(text)
    return _built(text) or _release(text)


def _installed(text: str) -> Target:
    from e820pool.sources.installed_kernels import (  # noqa: PLC0415
        find_installed,
        installed_kernels,
    )

    if text == "newest" and not installed_kernels():
        return _release(known_releases()[-1])
    return _image(find_installed(text).image)


# A kernel that was built here begins with a letter, and no release does.
def _built(text: str) -> Target | None:
    if not text[:1].isalpha():
        return None
    from e820pool.lab.images import built_images  # noqa: PLC0415  numpy

    built = next((image for image in built_images() if image.name == text), None)
    if built is None:
        return None
    file = KernelFile(name=text, image=built.read(), config=built.read_config())
    return _of_file(file)


# A file that is called like a release is meant only when its folder is named.
def _is_image(text: str) -> bool:
    named = Path(text).is_file() and _release(text).profile is None
    return "/" in text or named


def _release(text: str) -> Target:
    name = one_line(text)
    try:
        return Target(name=name, profile=_as_it_runs(profile_for(text)))
    except InputError as exc:
        named = "an image is named with its folder, as ./vmlinuz"
        more = "" if text[:1].isdigit() else f"; {named}"
        return Target(name=name, profile=None, reason=f"{exc}{more}")


# The exact version of the kernel that runs here names that very kernel.
def _as_it_runs(profile: Profile) -> Profile:
    if profile.release != os.uname().release:
        return profile
    config = read_running_config(profile.release)
    return profile if config is None else with_config(profile, config, "running")


def _image(path: Path) -> Target:
    return _of_file(read_kernel_file(path))


def _of_file(kernel: KernelFile) -> Target:
    try:
        profile = profile_of(kernel)
    except InputError as exc:
        return Target(name=kernel.name, profile=None, reason=f"{kernel.name!r}: {exc}")
    return Target(name=kernel.name, profile=profile, image=kernel.image)
