"""A table as a tree that stock kexec-tools read as /sys/firmware/memmap, archived."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

from e820pool.type_words import resource_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ("memmap_archive",)


def memmap_archive(table: NDArray[Any]) -> bytes:
    """Return a tar archive of ``N/{start,end,type}``, ends inclusive.

    Linux 6.1 drivers/firmware/memmap.c; busybox tar unpacks it in the guest.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in _files(table):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


def _files(table: NDArray[Any]) -> Iterator[tuple[str, bytes]]:
    for at, (addr, size, kind) in enumerate(table.tolist()):
        yield f"{at}/start", f"{addr:#x}\n".encode()
        yield f"{at}/end", f"{addr + size - 1:#x}\n".encode()
        yield f"{at}/type", f"{resource_name(kind)}\n".encode()
