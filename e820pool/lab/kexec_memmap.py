"""A table as a tree that stock kexec-tools read as /sys/firmware/memmap, archived."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

from e820pool.type_words import resource_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from e820pool.kernel.view import Row

__all__ = ("memmap_archive", "memmap_files")


def memmap_archive(table: NDArray[Any]) -> bytes:
    """Return a tar archive of ``N/{start,end,type}``, ends inclusive.

    Linux 6.1 drivers/firmware/memmap.c; busybox tar unpacks it in the guest.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in memmap_files(table.tolist()):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


def memmap_files(rows: Iterable[Row]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file of the tree, ends inclusive."""
    for at, (addr, size, kind) in enumerate(rows):
        yield f"{at}/start", f"{addr:#x}\n".encode()
        yield f"{at}/end", f"{addr + size - 1:#x}\n".encode()
        yield f"{at}/type", f"{resource_name(kind)}\n".encode()
