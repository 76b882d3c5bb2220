"""Get stock kernel images from the distribution's archive into the cache."""

from __future__ import annotations

import fcntl
import hashlib
import re
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import LabError
from e820pool.lab.apt import IsolatedApt
from e820pool.lab.cache import cache_folder, write_atomically
from e820pool.lab.images import (
    NEWEST,
    KernelImage,
    cached_images,
    numbers_in,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = (
    "DEFAULT_RELEASES",
    "KernelPackage",
    "fetch_images",
    "list_available",
    "newest_by_release",
)

DEFAULT_RELEASES = ("5.10", "6.1", "6.12", "6.18", NEWEST)
"""What is fetched when nothing is asked for: the releases that differ most."""

# For apt: the flavour for virtual machines, which is small and boots fast.
_PACKAGES = r"^linux-(image|binary|base)-[0-9].*-cloud-amd64$"

# From 6.19 on the image is in a package of its own, linux-binary, and the configuration
# in linux-base, which the archive does not keep for every version.
_PACKAGE_NAME = re.compile(
    r"linux-(?P<kind>image|binary|base)-(?P<version>\d+\.\d+.*-cloud-amd64)"
)
_RELEASE = re.compile(r"\d+\.\d+")

_IMAGE = re.compile(r"(?:.*/)?vmlinuz(?:-[^/]+)?")
_CONFIG = re.compile(r"(?:.*/)?config(?:-[^/]+)?")

# Twice what a stock image has; a member that claims more is refused.
_MEMBER_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPackage:
    """One stock kernel.

    Attributes:
        release: ``6.1``.
        version: as ``uname -r`` says it, ``6.1.0-50-cloud-amd64``.
        packages: what to download, the one with the image first.
    """

    release: str
    version: str
    packages: tuple[str, ...]


def newest_by_release(names: Iterable[str]) -> dict[str, KernelPackage]:
    """Return the newest kernel of each release, oldest release first."""
    newest: dict[str, KernelPackage] = {}
    # By all numbers of 6.12.90+deb12.1-cloud-amd64 but those of the architecture.
    for kernel in sorted(
        _kernels(names),
        key=lambda package: numbers_in(package.version.removesuffix("-cloud-amd64")),
    ):
        newest[kernel.release] = kernel
    return newest


def _kernels(names: Iterable[str]) -> Iterable[KernelPackage]:
    kinds: dict[str, set[str]] = {}
    for match in filter(None, map(_PACKAGE_NAME.fullmatch, names)):
        kinds.setdefault(match["version"], set()).add(match["kind"])
    for version, offered in kinds.items():
        release = _RELEASE.match(version)
        order = ("binary", "base") if "binary" in offered else ("image",)
        packages = [f"linux-{kind}-{version}" for kind in order if kind in offered]
        if packages and release:
            yield KernelPackage(
                release=release[0], version=version, packages=tuple(packages)
            )


def list_available() -> tuple[KernelPackage, ...]:
    """Return the newest kernel of each release that the archive has.

    Raises:
        LabError: the archive's lists cannot be had.
    """
    apt = IsolatedApt(cache_folder("apt"))
    apt.update()
    return tuple(newest_by_release(apt.names(_PACKAGES)).values())


def fetch_images(
    releases: Sequence[str] = DEFAULT_RELEASES,
    *,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[KernelImage, ...]:
    """Return images of releases, downloading those that the cache lacks.

    Args:
        releases: ``6.1`` and the like, ``newest``, or ``all``.
        progress: called before each slow step with what it is, for people, with how
            many are done, and how many there are, as far as is known.

    Raises:
        LabError: a release is not in the archive, or the download failed.
    """
    with _locked():
        held = _whole_images()
        if NEWEST not in releases and "all" not in releases:
            missing = [name for name in releases if name not in held]
            if not missing:
                return tuple(held[name] for name in releases)
        progress("reading the archive's package lists", 0, len(releases) + 1)
        available = {package.release: package for package in list_available()}
        wanted = [_resolve(name, available, held) for name in releases if name != "all"]
        if "all" in releases:
            wanted += [name for name in available if name not in wanted]
        missing = [name for name in dict.fromkeys(wanted) if name not in held]
        for at, name in enumerate(missing, 1):
            progress(f"fetching {available[name].version}", at, len(missing) + 1)
            held[name] = _fetch(available[name])
            write_manifest(held.values())
    return tuple(held[name] for name in wanted)


# What a full disk or a power cut left is fetched again.
def _whole_images() -> dict[str, KernelImage]:
    images = {}
    with suppress(LabError):
        for image in cached_images():
            with suppress(LabError):
                image.read()
                image.read_config()
                images[image.release] = image
    return images


def _resolve(
    name: str, available: dict[str, KernelPackage], held: dict[str, KernelImage]
) -> str:
    if name == NEWEST and available:
        return list(available)[-1]
    if name in available or name in held:
        return name
    have = ", ".join(available) or "none"
    raise LabError(f"the archive has no cloud kernel of {name!r}: it has {have}")


def _fetch(kernel: KernelPackage) -> KernelImage:
    with tempfile.TemporaryDirectory(dir=cache_folder("images")) as scratch:
        apt = IsolatedApt(cache_folder("apt"))
        files = apt.download(kernel.packages, Path(scratch))
        members: dict[str, bytes] = {}
        for file in files:
            members |= _unpack(file)
    if "image" not in members:
        raise LabError(f"{', '.join(kernel.packages)} hold no kernel image")
    names = {what: f"{what}-{kernel.version}" for what in members}
    for what, data in members.items():
        write_atomically(cache_folder("images") / names[what], data)
    main = next(f.name for f in files if f.name.startswith(kernel.packages[0] + "_"))
    return KernelImage(
        release=kernel.release,
        version=kernel.version,
        package=main.removesuffix(".deb"),
        image=names["image"],
        image_sha256=hashlib.sha256(members["image"]).hexdigest(),
        config=names.get("config", ""),
        config_sha256=hashlib.sha256(members.get("config", b"")).hexdigest(),
    )


def _unpack(package: Path) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    argv = ["dpkg-deb", "--fsys-tarfile", str(package)]
    try:
        with subprocess.Popen(  # noqa: S603  our own command line
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None  # noqa: S101  for the type checker
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    what = _what(member)
                    if what and (file := archive.extractfile(member)):
                        members[what] = file.read(_MEMBER_LIMIT)
    except (OSError, tarfile.TarError) as exc:
        raise LabError(f"{package.name} cannot be unpacked: {exc}") from exc
    return members


def _what(member: tarfile.TarInfo) -> str:
    if not member.isfile() or member.size >= _MEMBER_LIMIT:
        return ""
    if _IMAGE.fullmatch(member.name):
        return "image"
    return "config" if _CONFIG.fullmatch(member.name) else ""


@contextmanager
def _locked() -> Iterator[None]:
    with (cache_folder("images") / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
