"""Guest RAM in an anonymous sparse file: its layout, patterns, and touched pages."""

from __future__ import annotations

import mmap
import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from e820pool.errors import LabError
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE, ExtentSet, round_up
from e820pool.lab.touched import data_runs, punch_hole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = (
    "FIRMWARE_SLACK_BYTES",
    "GuestRam",
    "RamLayout",
    "layout_for",
    "validate_page_granularity",
)

_FOUR_GIB = 1 << 32
_MIB = 1 << 20

FIRMWARE_SLACK_BYTES = 16 * _MIB
"""RAM of the virtual machine beyond what the handoff calls RAM: SeaBIOS keeps its
tables and scratch memory at the top of RAM below 4 GiB."""

# pc_init1() in hw/i386/pc_piix.c (QEMU 7.2): without RAM above 4 GiB up to 3.5 GiB lie
# below, with it 3 GiB at most; max-ram-below-4g lowers either.
_LOW_LIMIT_ALONE = 0xE000_0000
_LOW_LIMIT = 0xC000_0000

_HUGE_PAGE = 2 * _MIB

# Memory to compare at a time.
_READ_BYTES = 4 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class RamLayout:
    """Say where the bytes of the RAM file lie in guest-physical memory.

    The file's first ``low_bytes`` are at address 0, the rest at 4 GiB.
    """

    low_bytes: int
    high_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Return the size of the file."""
        return self.low_bytes + self.high_bytes

    def pages(self) -> ExtentSet:
        """Return the guest-physical pages that are RAM of the machine."""
        high = (_FOUR_GIB, _FOUR_GIB + self.high_bytes)
        return ExtentSet(
            (start >> PAGE_SHIFT, end >> PAGE_SHIFT)
            for start, end in ((0, self.low_bytes), high)
        )

    def file_runs(self, pages: ExtentSet) -> Iterator[tuple[int, int, int]]:
        """Yield ``(file_offset, size, start_pfn)`` of those pages that are RAM."""
        boundary = _FOUR_GIB >> PAGE_SHIFT
        for start, end in pages & self.pages():
            shift = _FOUR_GIB - self.low_bytes if start >= boundary else 0
            yield (
                (start << PAGE_SHIFT) - shift,
                (end - start) << PAGE_SHIFT,
                start,
            )

    def pages_of_file(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield half-open PFN ranges of the file's bytes ``[start, end)``."""
        low = (start, min(end, self.low_bytes))
        high = (max(start, self.low_bytes), end)
        for (first, after), shift in (
            (low, 0),
            (high, _FOUR_GIB - self.low_bytes),
        ):
            if first < after:
                yield (first + shift) >> PAGE_SHIFT, (after + shift) >> PAGE_SHIFT


def layout_for(ram: ExtentSet) -> RamLayout:
    """Return the smallest layout that backs every page of ``ram``, with slack.

    Raises:
        LabError: QEMU's PC has no RAM there.
    """
    below = ram & ExtentSet([(0, _FOUR_GIB >> PAGE_SHIFT)])
    above = ram - below
    if not below:
        raise LabError("a PC without RAM below 4 GiB cannot be built in QEMU")
    low = int(below.ends[-1]) << PAGE_SHIFT
    high = ((int(above.ends[-1]) << PAGE_SHIFT) - _FOUR_GIB) if above else 0
    limit = _LOW_LIMIT if above else _LOW_LIMIT_ALONE
    if low + FIRMWARE_SLACK_BYTES > limit:
        raise LabError(
            f"RAM up to {low:#x} cannot be built in QEMU: its PC has "
            f"{limit - FIRMWARE_SLACK_BYTES:#x} bytes of it below 4 GiB"
        )
    return RamLayout(
        low_bytes=round_up(low, _MIB) + FIRMWARE_SLACK_BYTES,
        high_bytes=round_up(high, _MIB),
    )


class GuestRam:
    """Own the RAM file of one run; nameless, so that nothing is left behind.

    Use as a context manager, or call :meth:`close`.
    """

    __slots__ = ("_fd", "layout")

    def __init__(self, layout: RamLayout, folder: Path | None = None) -> None:
        """Create the file: in memory, or nameless in a folder on a tmpfs."""
        self.layout = layout
        self._fd = _sparse_file(layout.total_bytes, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fileno(self) -> int:
        """Return the file descriptor, to be handed to QEMU."""
        return self._fd

    def close(self) -> None:
        """Give the memory back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def touched(self) -> ExtentSet:
        """Return the pages ever read or written since they were last holes."""
        return ExtentSet(
            pages
            for start, end in data_runs(self._fd, self.layout.total_bytes)
            for pages in self.layout.pages_of_file(start, end)
        )

    def clear(self, pages: ExtentSet) -> None:
        """Make pages holes again: untouched, and zero to whoever looks."""
        for offset, size, _ in self.layout.file_runs(pages):
            punch_hole(self._fd, offset, size)

    def restore(self, addr: int, data: bytes) -> bool:
        """Write ``data`` at a guest-physical address unless it is there; return if so.

        The machine's firmware may have used that memory before.
        """
        was_there = True
        end_pfn = (addr + len(data) + PAGE_SIZE - 1) >> PAGE_SHIFT
        pages = ExtentSet([(addr >> PAGE_SHIFT, end_pfn)] if data else [])
        for offset, size, start_pfn in self.layout.file_runs(pages):
            first = max(addr, start_pfn << PAGE_SHIFT)
            last = min(addr + len(data), (start_pfn << PAGE_SHIFT) + size)
            at = offset + first - (start_pfn << PAGE_SHIFT)
            part = data[first - addr : last - addr]
            if os.pread(self._fd, len(part), at) != part:
                was_there = False
                os.pwrite(self._fd, part, at)
        return was_there

    def fill(self, pages: ExtentSet, pattern: bytes) -> None:
        """Write a page-sized pattern to each page."""
        for offset, size, _ in self.layout.file_runs(pages):
            for at in range(offset, offset + size, PAGE_SIZE):
                os.pwrite(self._fd, pattern, at)

    def differing(self, pages: ExtentSet, pattern: bytes) -> ExtentSet:
        """Return those pages whose content is not the page-sized pattern.

        A hole is looked at as a page of zeros, and stays a hole.
        """
        expected = np.frombuffer(pattern, np.uint8)
        found: list[tuple[int, int]] = []
        for offset, size, start_pfn in self.layout.file_runs(pages):
            for at in range(0, size, _READ_BYTES):
                data = os.pread(self._fd, min(_READ_BYTES, size - at), offset + at)
                rows = np.frombuffer(data, np.uint8).reshape(-1, PAGE_SIZE) != expected
                first = start_pfn + (at >> PAGE_SHIFT)
                found += [
                    (first + n, first + n + 1)
                    for n in np.flatnonzero(rows.any(axis=1)).tolist()
                ]
        return ExtentSet(found)


def validate_page_granularity(folder: Path | None = None) -> None:
    """Check that single pages can be told apart, reads included.

    Raises:
        LabError: the file system does not show a page that was only read, or huge
            pages hide which page was touched.
    """
    fd = _sparse_file(2 * _HUGE_PAGE, folder)
    try:
        with closing(mmap.mmap(fd, 2 * _HUGE_PAGE)) as view:
            # QEMU asks for huge pages in the same way.
            view.madvise(mmap.MADV_HUGEPAGE)
            view[3 * PAGE_SIZE : 3 * PAGE_SIZE + 1]
            view[_HUGE_PAGE + 5 * PAGE_SIZE] = 1
            runs = list(data_runs(fd, 2 * _HUGE_PAGE))
    finally:
        os.close(fd)
    pages = [3, (_HUGE_PAGE >> PAGE_SHIFT) + 5]
    if runs != [(n * PAGE_SIZE, (n + 1) * PAGE_SIZE) for n in pages]:
        raise LabError(
            f"touched pages cannot be seen in {folder or 'memory'}: reading page 3 and "
            f"writing page {pages[1]} shows data in {runs}; the folder must be on a "
            "tmpfs, and /sys/kernel/mm/transparent_hugepage/shmem_enabled be 'never'"
        )


def _sparse_file(size: int, folder: Path | None) -> int:
    try:
        if folder is None:
            fd = os.memfd_create("e820pool-ram", os.MFD_CLOEXEC)
        else:
            fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.ftruncate(fd, size)
    except OSError as exc:
        raise LabError(f"guest RAM of {size:#x} bytes: {exc}") from exc
    return fd
