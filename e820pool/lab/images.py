"""The cache of kernel images: stock ones, and those that were built here."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import BadImageError, LabError
from e820pool.lab.cache import cache_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = (
    "BUILT",
    "NEWEST",
    "KernelImage",
    "built_images",
    "cached_images",
    "find_image",
    "numbers_in",
    "read_built",
    "write_built",
    "write_manifest",
)

NEWEST = "newest"
"""Stands for the highest release that the archive has."""

BUILT = "built"
"""The cache's folder of kernels that were built here, a folder each."""

_MANIFEST = "manifest.json"
_RECORD = "build.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelImage:
    """One cached kernel.

    Attributes:
        release: ``6.1``.
        version: as ``uname -r`` says it.
        package: the package that it came from, with the package's version.
        image, config: file names in the cache folder; no configuration is "".
        name: of a kernel that was built here, "" for a stock one.
    """

    release: str
    version: str
    package: str
    image: str
    image_sha256: str
    config: str
    config_sha256: str
    name: str = ""

    @property
    def path(self) -> Path:
        """Return where the bzImage is."""
        return self._folder / self.image

    @property
    def _folder(self) -> Path:
        return cache_folder(BUILT) / self.name if self.name else cache_folder("images")

    def read(self) -> bytes:
        """Return the bzImage; LabError if it is gone or not what was fetched."""
        return _read_checked(self.path, self.image_sha256)

    def read_config(self) -> str:
        """Return the kernel's build configuration, "" where the archive has none.

        Raises:
            LabError: as :meth:`read`.
        """
        if not self.config:
            return ""
        path = self._folder / self.config
        return _read_checked(path, self.config_sha256).decode("utf-8", "replace")


def cached_images() -> tuple[KernelImage, ...]:
    """Return the stock images that have been fetched, oldest release first.

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
    return tuple(sorted(images, key=lambda image: numbers_in(image.release)))


def find_image(name: str) -> KernelImage:
    """Return the image of a release (``6.1``, ``newest``), full version or built name.

    Raises:
        LabError: it is not here; says how to get it.
    """
    images, built = cached_images(), built_images()
    for image in (*images, *built):
        if name == image.name or (
            not image.name and name in {image.release, image.version}
        ):
            return image
    if name == NEWEST and images:
        return images[-1]
    have = (
        ", ".join(image.name or image.release for image in (*images, *built)) or "none"
    )
    raise LabError(
        f"no kernel image of {name!r} in the cache (there: {have}): "
        f"run 'e820pool kernels fetch {name}', or pass the path of a bzImage"
    )


def built_images() -> tuple[KernelImage, ...]:
    """Return the kernels that were built here, by name.

    Raises:
        LabError: the record of a build is damaged.
    """
    images = []
    for path in sorted(cache_folder(BUILT).glob(f"*/{_RECORD}")):
        record = read_built(path.parent.name)
        try:
            images.append(KernelImage(**record["image"]))
        except (TypeError, KeyError) as exc:
            raise _damaged(path, exc) from exc
    return tuple(images)


def read_built(name: str) -> dict[str, Any]:
    """Return what was written down of a build.

    Raises:
        LabError: it is damaged.
    """
    path = cache_folder(BUILT) / name / _RECORD
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise _damaged(path, exc) from exc
    if not isinstance(record, dict):
        raise _damaged(path, TypeError(f"it is a {type(record).__name__}"))
    return record


def write_built(
    name: str, image: bytes, config: str, record: Mapping[str, Any]
) -> KernelImage:
    """Keep a kernel that was built under a name; what had it is gone.

    Raises:
        LabError: it cannot be written.
        BadImageError: it is no bzImage.
    """
    header = parse_bzimage(image)
    if not header.release:
        raise BadImageError(f"{name}: the image that was built says no release")
    kept = KernelImage(
        release=".".join(header.release.split(".")[:2]),
        version=header.release,
        package=str(record.get("source", "")),
        image=f"image-{name}",
        image_sha256=hashlib.sha256(image).hexdigest(),
        config=f"config-{name}",
        config_sha256=hashlib.sha256(config.encode()).hexdigest(),
        name=name,
    )
    text = json.dumps({"schema": 1, **record, "image": asdict(kept)}, indent=2) + "\n"
    home = cache_folder(BUILT)
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".") as scratch:
            made = Path(scratch) / "new"
            made.mkdir()
            (made / kept.image).write_bytes(image)
            (made / kept.config).write_text(config, encoding="utf-8")
            (made / _RECORD).write_text(text, encoding="utf-8")
            if (home / name).exists():
                (home / name).rename(Path(scratch) / "old")
            made.rename(home / name)
    except OSError as exc:
        raise LabError(f"cache: {exc}") from exc
    return kept


def write_manifest(images: Iterable[KernelImage]) -> None:
    """Record what the cache holds; LabError if it cannot be written."""
    record = {"schema": 1, "images": [asdict(image) for image in images]}
    data = json.dumps(record, indent=2).encode() + b"\n"
    write_atomically(cache_folder("images") / _MANIFEST, data)


def _read_checked(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise LabError(f"kernel image: {exc}: fetch it again") from exc
    if hashlib.sha256(data).hexdigest() != digest:
        raise LabError(
            f"{path.name} is not what was fetched: its SHA-256 is not {digest}"
        )
    return data


def _damaged(path: Path, why: Exception) -> LabError:
    name = path.parent.name
    return LabError(
        f"record of a build {path} is damaged ({why}): remove its folder, and build "
        f"{name} again"
    )


def numbers_in(text: str) -> tuple[int, ...]:
    """Return the numbers in a release or a version, by which they are sorted."""
    return tuple(int(number) for number in re.findall(r"\d+", text))
