"""Which packages hold the stock kernel of a release, from their names alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("PACKAGE_PATTERN", "KernelPackage", "newest_by_release")

PACKAGE_PATTERN = r"^linux-(image|binary|base)-[0-9].*-cloud-amd64$"
"""For apt: the flavour for virtual machines, which is small and boots fast."""

# From 6.19 on the image is in a package of its own, linux-binary, and the configuration
# in linux-base, which the archive does not keep for every version.
_NAME = re.compile(
    r"linux-(?P<kind>image|binary|base)-(?P<version>\d+\.\d+.*-cloud-amd64)"
)
_RELEASE = re.compile(r"\d+\.\d+")


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
    for kernel in sorted(_kernels(names), key=_sort_key):
        newest[kernel.release] = kernel
    return newest


def _kernels(names: Iterable[str]) -> Iterable[KernelPackage]:
    kinds: dict[str, set[str]] = {}
    for match in filter(None, map(_NAME.fullmatch, names)):
        kinds.setdefault(match["version"], set()).add(match["kind"])
    for version, found in kinds.items():
        release = _RELEASE.match(version)
        order = ("binary", "base") if "binary" in found else ("image",)
        packages = [f"linux-{kind}-{version}" for kind in order if kind in found]
        if packages and release:
            yield KernelPackage(
                release=release[0], version=version, packages=tuple(packages)
            )


# All numbers of 6.12.90+deb12.1-cloud-amd64 but those of the architecture's name.
def _sort_key(kernel: KernelPackage) -> tuple[int, ...]:
    name = kernel.version.removesuffix("-cloud-amd64")
    return tuple(int(number) for number in re.findall(r"\d+", name))
