"""A kernel image with its build configuration, and the model of that kernel."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from e820pool.abi.bzimage import BzImage, parse_bzimage
from e820pool.errors import BadImageError, InputError, MachineError
from e820pool.findings import one_line
from e820pool.kernel.kernel_data import parse_release, stable_update
from e820pool.kernel.profiles import ConfigFrom, Profile, profile_for, with_config
from e820pool.sources.files import read_file
from e820pool.sources.kernel_config import parse_config_text
from e820pool.sources.kernel_payload import embedded_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = (
    "KernelFile",
    "known_profile",
    "parse_image",
    "profile_of",
    "read_kernel_file",
)

_MADE_FOR = re.compile(r"^# Linux/\S+ (\d\S*) Kernel Configuration", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFile:
    """A kernel to start, or to be judged as if it were.

    Attributes:
        name: for people: a release, or the path that was given.
        image: the whole bzImage file.
        config: text of its build configuration, "" when not at hand.
        config_from: where that was.
    """

    name: str
    image: bytes
    config: str = ""
    config_from: ConfigFrom = "beside"


def read_kernel_file(path: Path) -> KernelFile:
    """Return an image with its configuration: what lies beside it, else what is in it.

    Raises:
        InputError, BadImageError: it cannot be read, is empty or absurdly long.
    """
    data, name = read_file(path), one_line(str(path))
    # /boot/vmlinuz may be a link to a name with a release in it.
    for image in dict.fromkeys((path, path.resolve())):
        for beside in _configs_of(image):
            if beside != image and beside.is_file():
                text = read_file(beside, empty=True).decode("utf-8", "replace")
                if text and not _is_of_another(text, data):
                    return KernelFile(name=name, image=data, config=text)
    return KernelFile(
        name=name, image=data, config=_carried(data), config_from="inside"
    )


# Kconfig writes the version it was made for into its third line. A build tree may have
# been turned to another since the image was made.
def _is_of_another(text: str, image: bytes) -> bool:
    made_for = _MADE_FOR.search(text)
    if made_for is None:
        return False
    try:
        parsed = parse_bzimage(image)
        if parse_release(parsed.release) != parse_release(made_for[1]):
            return True
        versions = (made_for[1], parsed.version or parsed.release)
        return len({*map(stable_update, versions)} - {None}) == 2
    except (InputError, BadImageError):
        return False


# An image that cannot be unpacked here may still be asked for the rest.
def _carried(image: bytes) -> str:
    try:
        return embedded_config(image)
    except (InputError, BadImageError, MachineError):
        return ""


# In /boot it is vmlinuz-6.1 and config-6.1, in the cache image-6.1 and config-6.1; in a
# build tree .config at its root, of which a bzImage lies in arch/x86/boot.
def _configs_of(path: Path) -> Iterator[Path]:
    name = path.name.replace("vmlinuz", "config")
    if name.startswith("image-"):
        name = "config-" + name.removeprefix("image-")
    yield path.with_name(name)
    yield path.with_name(".config")
    if path.parent.name == "boot" and path.parent.parent.parent.name == "arch":
        yield path.parents[3] / ".config"


def parse_image(data: bytes) -> BzImage:
    """Return an image's header, with what its release says and its header does not.

    Raises:
        BadImageError: it is no bzImage.
    """
    image = parse_bzimage(data)
    try:
        profile = profile_for(image.release, version=image.version)
    except InputError:
        return image
    return replace(image, has_floor=profile.has("decompress-floor"))


def profile_of(kernel: KernelFile) -> Profile:
    """Return the model of an image, by its release and configuration.

    Raises:
        InputError: no such kernel is known.
        BadImageError: it is no bzImage, or its configuration cannot be read.
    """
    parsed = parse_bzimage(kernel.image)
    profile = profile_for(parsed.release, version=parsed.version)
    profile = replace(profile, image_sha256=hashlib.sha256(kernel.image).hexdigest())
    if not kernel.config:
        return profile
    return with_config(profile, parse_config_text(kernel.config), kernel.config_from)


def known_profile(kernel: KernelFile) -> Profile | None:
    """Return the model of an image, None where its release is not known.

    Raises:
        BadImageError: as :func:`profile_of`.
    """
    try:
        return profile_of(kernel)
    except InputError:
        return None
