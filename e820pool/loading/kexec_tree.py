"""A table as a tree that stock kexec-tools read as /sys/firmware/memmap."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from e820pool.type_words import resource_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.kernel.view import Row

__all__ = ("memmap_archive", "memmap_files")

_WRAP = 1 << 64


def memmap_files(rows: Iterable[Row]) -> dict[str, bytes]:
    """Return ``N/start``, ``N/end`` (inclusive) and ``N/type`` of every entry.

    The form is that of drivers/firmware/memmap.c (2.6.27 to 7.3). It has no number
    for a type without a name of its own.
    """
    files = {}
    for at, (addr, size, kind) in enumerate(rows):
        files[f"{at}/start"] = f"{addr:#x}\n".encode()
        files[f"{at}/end"] = f"{(addr + size - 1) % _WRAP:#x}\n".encode()
        files[f"{at}/type"] = f"{resource_name(kind)}\n".encode()
    return files


def memmap_archive(rows: Iterable[Row]) -> bytes:
    """Return the tree as a tar archive, which busybox tar unpacks in a guest."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in memmap_files(rows).items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return out.getvalue()
