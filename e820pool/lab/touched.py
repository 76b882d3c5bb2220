"""Holes and data of a sparse file, by page."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING

from e820pool.errors import LabError
from e820pool.extents import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("data_runs", "punch_hole")

# fallocate(2): FALLOC_FL_PUNCH_HOLE, which must come with FALLOC_FL_KEEP_SIZE.
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_int64,
)


def data_runs(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the half-open byte ranges of a file that are not holes, in order.

    On tmpfs a page stops being a hole when it is first accessed through a shared
    mapping, also for reading (lseek(2), SEEK_DATA and SEEK_HOLE).
    """
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as exc:
            # No data from here to the end.
            if exc.errno == errno.ENXIO:
                return
            raise LabError(f"guest RAM at {position:#x}: {exc}") from exc
        position = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, position


def punch_hole(fd: int, offset: int, size: int) -> None:
    """Make a byte range of a file a hole.

    Raises:
        LabError: the file system refuses.
    """
    if _LIBC.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, offset, size) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise LabError(f"guest RAM {Span(offset, offset + size)}: {reason}")
