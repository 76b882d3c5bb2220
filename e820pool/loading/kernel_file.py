"""A kernel image with its build configuration, and the model of that kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import BadImageError, InputError
from e820pool.kernel.profiles import profile_for
from e820pool.sources.files import read_file
from e820pool.sources.kernel_config import parse_config_text
from e820pool.sources.kernel_payload import embedded_config

if TYPE_CHECKING:
    from pathlib import Path

    from e820pool.kernel.profiles import Profile

__all__ = ("KernelFile", "known_profile", "profile_of", "read_kernel_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFile:
    """A kernel to start, or to be judged as if it were.

    Attributes:
        name: for people: a release, or the path that was given.
        image: the whole bzImage file.
        config: text of its build configuration, "" when not at hand.
    """

    name: str
    image: bytes
    config: str = ""


def read_kernel_file(path: Path) -> KernelFile:
    """Return an image with its configuration: what lies beside it, else what is in it.

    Raises:
        InputError, BadImageError: it cannot be read, is empty or absurdly long.
    """
    config = ""
    # /boot/vmlinuz may be a link to a name with a release in it.
    for image in dict.fromkeys((path, path.resolve())):
        beside = _config_of(image)
        if not config and beside != image and beside.is_file():
            config = read_file(beside, empty=True).decode("utf-8", "replace")
    data = read_file(path)
    return KernelFile(name=str(path), image=data, config=config or _carried(data))


# An image that cannot be unpacked here may still be asked for the rest.
def _carried(image: bytes) -> str:
    try:
        return embedded_config(image)
    except (InputError, BadImageError):
        return ""


# In /boot it is vmlinuz-6.1 and config-6.1, in the cache image-6.1 and config-6.1.
def _config_of(path: Path) -> Path:
    name = path.name.replace("vmlinuz", "config")
    if name.startswith("image-"):
        name = "config-" + name.removeprefix("image-")
    return path.with_name(name)


def profile_of(kernel: KernelFile) -> Profile:
    """Return the model of an image, by its release and configuration.

    Raises:
        InputError: no such kernel is known.
        BadImageError: it is no bzImage, or its configuration cannot be read.
    """
    parsed = parse_bzimage(kernel.image)
    config = parse_config_text(kernel.config) if kernel.config else None
    return profile_for(parsed.release, config, parsed.version)


def known_profile(kernel: KernelFile) -> Profile | None:
    """Return the model of an image, None where its release is not known.

    Raises:
        BadImageError: as :func:`profile_of`.
    """
    try:
        return profile_of(kernel)
    except InputError:
        return None
