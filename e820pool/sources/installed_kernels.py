"""Find the kernels that are installed here, each with its initrd and command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import InputError
from e820pool.sources.files import read_file
from e820pool.sources.live_machine import running_release

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("InstalledKernel", "find_installed", "installed_kernels", "own_cmdline")

_ROOT = Path("/")
_IMAGE = "boot/vmlinuz-"

# Debian's and Ubuntu's, Fedora's, Arch's name for what belongs to vmlinuz-VERSION.
_INITRDS = ("initrd.img-{0}", "initramfs-{0}.img", "initrd-{0}")

# What package managers and boot loaders leave beside an image.
_LEFTOVERS = (".old", ".bak", ".dpkg-bak", ".dpkg-new", ".sig", ".hmac", ".efi.signed")

_GRUB = ("boot/grub/grub.cfg", "boot/grub2/grub.cfg")
_ENTRIES = "boot/loader/entries"
_LINUX = ("linux", "linux16", "linuxefi")

# GRUB would put something else in the place of these.
_NOT_PLAIN = re.compile(r"[$\"'\\]")
_PART = re.compile(r"\d+|\D")
_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledKernel:
    """A kernel of this machine.

    Attributes:
        version: what ``uname -r`` says of it.
        image: its bzImage.
        initrd: its initial RAM file system, None where there is none by its name.
    """

    version: str
    image: Path
    initrd: Path | None


def find_installed(name: str, root: Path = _ROOT) -> InstalledKernel:
    """Return the kernel of a version, ``running`` or ``newest``.

    Args:
        name: ``newest`` is the highest version, whatever was installed last.
        root: of the file system that holds /boot.

    Raises:
        InputError: no such kernel is installed.
    """
    kernels = installed_kernels(root)
    version = running_release() if name == "running" else name
    for kernel in kernels if name != "newest" else kernels[-1:]:
        if version in {kernel.version, "newest"}:
            return kernel
    path = root / f"{_IMAGE}{version if name != 'newest' else '*'}"
    names = ", ".join(kernel.version for kernel in kernels[-_SHOWN:]) or "none"
    raise InputError(f"kernel {name!r}: {str(path)!r} is not there; installed: {names}")


def installed_kernels(root: Path = _ROOT) -> list[InstalledKernel]:
    """Return the kernels of /boot, lowest version first."""
    prefix = root / _IMAGE
    kernels = []
    for image in prefix.parent.glob(prefix.name + "*"):
        version = image.name.removeprefix(prefix.name)
        if image.is_file() and not version.endswith(_LEFTOVERS):
            initrds = (image.with_name(pattern.format(version)) for pattern in _INITRDS)
            initrd = next((path for path in initrds if path.is_file()), None)
            kernels.append(InstalledKernel(version=version, image=image, initrd=initrd))
    return sorted(kernels, key=lambda kernel: _order(kernel.version))


# Numbers by their value; a tilde, as of release candidates, comes before the end.
def _order(version: str) -> list[tuple[int, int, str]]:
    keys = [
        (3, int(part), "") if part.isdigit() else (int(part != "~") * 2, 0, part)
        for part in _PART.findall(version)
    ]
    return [*keys, (1, 0, "")]


def own_cmdline(kernel: InstalledKernel, root: Path = _ROOT) -> str:
    """Return the command line that the boot loader gives this kernel.

    Raises:
        InputError: no boot loader's file has it in plain words, or none may be read.
    """
    for words in _boot_lines(kernel, root):
        line = " ".join(words)
        if _NOT_PLAIN.search(line):
            raise InputError(
                f"the boot loader's line of {kernel.version} is no plain text "
                f"({line[:80]!r}): say --reuse-cmdline, or --append CMDLINE"
            )
        return line
    raise InputError(
        f"no boot loader's file in {str(root / 'boot')!r} has a command line of "
        f"{kernel.version}: say --reuse-cmdline, or --append CMDLINE"
    )


def _boot_lines(kernel: InstalledKernel, root: Path) -> Iterator[list[str]]:
    for name in _GRUB:
        for line in _lines(root / name):
            first, *words = line.split() or [""]
            if first in _LINUX and words and _names(words[0], kernel):
                yield words[1:]
    for path in sorted((root / _ENTRIES).glob("*.conf")):
        lines = [line.split() for line in _lines(path)]
        if any(x[:1] == ["linux"] and _names("".join(x[1:2]), kernel) for x in lines):
            yield [word for x in lines if x[:1] == ["options"] for word in x[1:]]


def _names(path: str, kernel: InstalledKernel) -> bool:
    return path.rpartition("/")[2] == kernel.image.name


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return read_file(path, empty=True).decode("utf-8", "replace").splitlines()
