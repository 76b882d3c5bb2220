"""The cache of stock kernel images."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from e820pool.errors import LabError
from e820pool.lab.cache import cache_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ("NEWEST", "KernelImage", "cached_images", "find_image", "write_manifest")

NEWEST = "newest"
"""Stands for the highest release that the archive has."""

_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelImage:
    """Hold one cached kernel.

    Attributes:
        release: ``6.1``.
        version: as ``uname -r`` says it.
        package: the package that it came from, with the package's version.
        image, config: file names in the cache folder; no configuration is "".
        image_sha256, config_sha256: of those files.
    """

    release: str
    version: str
    package: str
    image: str
    image_sha256: str
    config: str
    config_sha256: str

    @property
    def path(self) -> Path:
        """Return where the bzImage is."""
        return cache_folder("images") / self.image

    def read(self) -> bytes:
        """Return the bzImage; LabError if it is gone or not what was fetched."""
        return _read_checked(self.image, self.image_sha256)

    def read_config(self) -> str:
        """Return the kernel's build configuration, "" where the archive has none.

        Raises:
            LabError: as :meth:`read`.
        """
        if not self.config:
            return ""
        return _read_checked(self.config, self.config_sha256).decode("utf-8", "replace")


def cached_images() -> tuple[KernelImage, ...]:
    """Return what has been fetched, oldest release first.

    Raises:
        LabError: the manifest is damaged.
    """
    path = cache_folder("images") / _MANIFEST
    try:
        record = json.loads(path.read_bytes())
        images = [KernelImage(**image) for image in record["images"]]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise LabError(
            f"manifest of kernel images {path} is damaged ({exc}): remove it and fetch "
            "the images again"
        ) from exc
    return tuple(sorted(images, key=lambda image: _numbers(image.release)))


def find_image(name: str) -> KernelImage:
    """Return the cached image of a release (``6.1``, ``newest``) or full version.

    Raises:
        LabError: it has not been fetched; says how to.
    """
    images = cached_images()
    for image in images:
        if name in {image.release, image.version}:
            return image
    if name == NEWEST and images:
        return images[-1]
    have = ", ".join(image.release for image in images) or "none"
    raise LabError(
        f"no kernel image of {name!r} in the cache (there: {have}): "
        f"run 'e820pool kernels fetch {name}', or pass the path of a bzImage"
    )


def write_manifest(images: Iterable[KernelImage]) -> None:
    """Record what the cache holds; LabError if it cannot be written."""
    record = {"schema": 1, "images": [asdict(image) for image in images]}
    data = json.dumps(record, indent=2).encode() + b"\n"
    write_atomically(cache_folder("images") / _MANIFEST, data)


def _read_checked(name: str, digest: str) -> bytes:
    try:
        data = (cache_folder("images") / name).read_bytes()
    except OSError as exc:
        raise LabError(f"kernel image: {exc}: fetch it again") from exc
    if hashlib.sha256(data).hexdigest() != digest:
        raise LabError(f"{name} is not what was fetched: its SHA-256 is not {digest}")
    return data


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))
