"""Guest RAM in anonymous sparse files: its layout, patterns, and touched pages."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from e820pool.errors import BadImageError, LabError
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE, ExtentSet, Span, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from e820pool.range_lists import StartEnd

__all__ = (
    "DEVICE_BLOCK_BYTES",
    "FIRMWARE_SLACK_BYTES",
    "FileRun",
    "GuestRam",
    "RamLayout",
    "data_runs",
    "layout_for",
    "validate_page_granularity",
)

_FOUR_GIB = 1 << 32
_MIB = 1 << 20

FIRMWARE_SLACK_BYTES = 16 * _MIB
"""RAM of the virtual machine beyond what the handoff calls RAM: SeaBIOS keeps its
tables and scratch memory at the top of RAM below 4 GiB."""

# SeaBIOS's tables alone, which it leaves below the top: 0x25000 bytes on a PC of QEMU
# with all its devices (RAM ends at 0xbffdb000), less on the lab's. Its scratch memory
# below them is free again when the kernel is entered, and cleared before that.
_FIRMWARE_TABLE_BYTES = 0x2_0000

# pc_init1() in hw/i386/pc_piix.c (QEMU 7.2): without RAM above 4 GiB up to 3.5 GiB lie
# below, with it 3 GiB at most; max-ram-below-4g lowers either.
_LOW_LIMIT_ALONE = 0xE000_0000
_LOW_LIMIT = 0xC000_0000

_HUGE_PAGE = 2 * _MIB

# Memory to compare at a time.
_READ_BYTES = 4 * _MIB

# fallocate(2): FALLOC_FL_PUNCH_HOLE, which must come with FALLOC_FL_KEEP_SIZE.
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_int64,
)

DEVICE_BLOCK_BYTES = 128 * _MIB
"""A memory device of which start or end is no multiple of this is added by no kernel:
check_hotplug_memory_range() (mm/memory_hotplug.c, 5.10 to 7.3) wants whole memory
blocks, and x86 has none that are smaller (arch/x86/mm/init_64.c)."""

# pc_get_device_memory_range() in hw/i386/pc.c (QEMU 7.2): memory devices lie above RAM,
# from a multiple of 1 GiB on.
_DEVICE_BASE_BYTES = 1 << 30


class FileRun(NamedTuple):
    """Where consecutive pages lie in one of the files."""

    file: int
    offset: int
    size: int
    start_pfn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RamLayout:
    """Where the bytes of the RAM files lie in guest-physical memory.

    Of the first file ``low_bytes`` are at address 0, the rest at 4 GiB; each memory
    device has a file of its own.

    Attributes:
        low_bytes: RAM below 4 GiB.
        high_bytes: RAM from 4 GiB on.
        devices: ``[start, end)`` in bytes of each memory device, sorted.
        has_acpi: whether there is room for the firmware's tables; without them the
            machine is one without ACPI, as Firecracker's was.
    """

    low_bytes: int
    high_bytes: int = 0
    devices: tuple[StartEnd, ...] = ()
    has_acpi: bool = True

    @property
    def total_bytes(self) -> int:
        """Return the size of the first file: RAM that is there at power-on."""
        return self.low_bytes + self.high_bytes

    @property
    def file_sizes(self) -> tuple[int, ...]:
        """Return the size of each file."""
        return self.total_bytes, *(end - start for start, end in self.devices)

    @property
    def device_base(self) -> int:
        """Return the lowest address that a memory device can have."""
        return round_up(_FOUR_GIB + self.high_bytes, _DEVICE_BASE_BYTES)

    def pages(self) -> ExtentSet:
        """Return the guest-physical pages that the machine has memory for."""
        return ExtentSet(
            (addr >> PAGE_SHIFT, (addr + size) >> PAGE_SHIFT)
            for _, _, addr, size in self._pieces()
        )

    def file_runs(self, pages: ExtentSet) -> Iterator[FileRun]:
        """Yield those of the pages that the machine has, as runs of its files."""
        for file, offset, addr, size in self._pieces():
            piece = (addr >> PAGE_SHIFT, (addr + size) >> PAGE_SHIFT)
            for start, end in pages & ExtentSet([piece]):
                at = offset + (start << PAGE_SHIFT) - addr
                yield FileRun(file, at, (end - start) << PAGE_SHIFT, start)

    def pages_of_file(self, start: int, end: int, file: int = 0) -> Iterator[StartEnd]:
        """Yield half-open PFN ranges of a file's bytes ``[start, end)``."""
        for number, offset, addr, size in self._pieces():
            first, after = max(start, offset), min(end, offset + size)
            if number == file and first < after:
                shift = addr - offset
                yield (first + shift) >> PAGE_SHIFT, (after + shift) >> PAGE_SHIFT

    # (file, offset in it, guest-physical address, bytes)
    def _pieces(self) -> Iterator[tuple[int, int, int, int]]:
        yield 0, 0, 0, self.low_bytes
        if self.high_bytes:
            yield 0, self.low_bytes, _FOUR_GIB, self.high_bytes
        for file, (start, end) in enumerate(self.devices, 1):
            yield file, 0, start, end - start


def layout_for(ram: ExtentSet, devices: Sequence[StartEnd] = ()) -> RamLayout:
    """Return the smallest layout that backs every page of ``ram``, with slack.

    Args:
        ram: pages that need memory; those inside a device have the device's.
        devices: ``[start, end)`` in bytes of each memory device.

    Raises:
        LabError: QEMU's PC has no RAM, or no memory device, there.
    """
    for start, end in devices:
        ram -= ExtentSet([(start >> PAGE_SHIFT, end >> PAGE_SHIFT)])
    below = ram & ExtentSet([(0, _FOUR_GIB >> PAGE_SHIFT)])
    above = ram - below
    if not below:
        raise LabError("a PC without RAM below 4 GiB cannot be built in QEMU")
    low = int(below.ends[-1]) << PAGE_SHIFT
    high = ((int(above.ends[-1]) << PAGE_SHIFT) - _FOUR_GIB) if above else 0
    limit = _LOW_LIMIT if above else _LOW_LIMIT_ALONE
    has_tables = low + _FIRMWARE_TABLE_BYTES <= limit
    if low > limit or (devices and not has_tables):
        most = limit - _FIRMWARE_TABLE_BYTES if devices else limit
        raise LabError(
            f"RAM up to {low:#x} cannot be built in QEMU: its PC has {most:#x} bytes "
            "of it below 4 GiB"
        )
    layout = RamLayout(
        low_bytes=min(round_up(low, _MIB) + FIRMWARE_SLACK_BYTES, limit),
        high_bytes=round_up(high, _MIB),
        devices=tuple(sorted(devices)),
        has_acpi=has_tables,
    )
    _validate_devices(layout)
    return layout


def _validate_devices(layout: RamLayout) -> None:
    floor = layout.device_base
    for start, end in layout.devices:
        place = f"memory device {Span(start, end)}"
        if start % DEVICE_BLOCK_BYTES or end % DEVICE_BLOCK_BYTES:
            raise LabError(
                f"{place}: start and size must be multiples of "
                f"{DEVICE_BLOCK_BYTES:#x}, or no kernel adds it"
            )
        if start < floor:
            raise LabError(
                f"{place} cannot be built in QEMU: below {floor:#x} is RAM, or another "
                "memory device"
            )
        floor = end


class GuestRam:
    """The RAM files of one run; nameless, so that nothing is left behind.

    Use as a context manager, or call :meth:`close`.
    """

    __slots__ = ("_fds", "layout")

    def __init__(self, layout: RamLayout, folder: Path | None = None) -> None:
        """Create the files: in memory, or nameless in a folder on a tmpfs."""
        self.layout = layout
        self._fds: list[int] = []
        try:
            for size in layout.file_sizes:
                self._fds.append(_sparse_file(size, folder))
        except LabError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fileno(self) -> int:
        """Return the descriptor of the first file, that of RAM at power-on."""
        return self._fds[0]

    @property
    def filenos(self) -> tuple[int, ...]:
        """Return the file descriptors, to be handed to QEMU; the devices' last."""
        return tuple(self._fds)

    def close(self) -> None:
        """Give the memory back."""
        while self._fds:
            os.close(self._fds.pop())

    def touched(self) -> ExtentSet:
        """Return the pages ever read or written since they were last holes."""
        return ExtentSet(
            pages
            for file, size in enumerate(self.layout.file_sizes)
            for start, end in data_runs(self._fds[file], size)
            for pages in self.layout.pages_of_file(start, end, file)
        )

    def clear(self, pages: ExtentSet) -> None:
        """Make pages holes again: untouched, and zero to whoever looks."""
        for file, offset, size, _ in self.layout.file_runs(pages):
            _punch_hole(self._fds[file], offset, size)

    def restore(self, addr: int, data: bytes) -> None:
        """Write ``data`` at a guest-physical address unless it is there.

        The machine's firmware may have used that memory before.
        """
        for fd, offset, at, size in self._places(addr, len(data)):
            part = data[at : at + size]
            if os.pread(fd, size, offset) != part:
                os.pwrite(fd, part, offset)

    def copy(self) -> GuestRam:
        """Return files of their own with what is in memory now; holes stay holes."""
        made = GuestRam(self.layout)
        for fd, to, size in zip(
            self._fds, made.filenos, self.layout.file_sizes, strict=True
        ):
            for start, end in data_runs(fd, size):
                for at in range(start, end, _READ_BYTES):
                    part = os.pread(fd, min(_READ_BYTES, end - at), at)
                    os.pwrite(to, part, at)
        return made

    def read(self, addr: int, size: int) -> bytes:
        """Return the bytes at a guest-physical address.

        Raises:
            BadImageError: the machine has no memory there.
        """
        parts = [os.pread(fd, n, at) for fd, at, _, n in self._places(addr, size)]
        data = b"".join(parts)
        if len(data) < size:
            raise BadImageError(f"no memory at {Span.at(addr, size)}")
        return data

    def write(self, start_pfn: int, data: bytes) -> None:
        """Write bytes into consecutive pages.

        Raises:
            LabError: the machine has no RAM there.
        """
        done = 0
        for fd, offset, at, size in self._places(start_pfn << PAGE_SHIFT, len(data)):
            done += os.pwrite(fd, data[at : at + size], offset)
        if done < len(data):
            raise LabError(
                f"PFN {start_pfn:#x} on: {len(data):#x} bytes are not all RAM"
            )

    # Of the bytes from an address on those that the machine has memory for: file,
    # offset in it, place among the bytes, how many.
    def _places(self, addr: int, size: int) -> Iterator[tuple[int, int, int, int]]:
        end_pfn = (addr + size + PAGE_SIZE - 1) >> PAGE_SHIFT
        pages = ExtentSet([(addr >> PAGE_SHIFT, end_pfn)] if size else [])
        for file, offset, run_bytes, start_pfn in self.layout.file_runs(pages):
            start = start_pfn << PAGE_SHIFT
            first, last = max(addr, start), min(addr + size, start + run_bytes)
            yield self._fds[file], offset + first - start, first - addr, last - first

    def fill(self, pages: ExtentSet, pattern: bytes) -> None:
        """Write a page-sized pattern to each page."""
        for file, offset, size, _ in self.layout.file_runs(pages):
            for at in range(offset, offset + size, PAGE_SIZE):
                os.pwrite(self._fds[file], pattern, at)

    def differing(self, pages: ExtentSet, pattern: bytes) -> ExtentSet:
        """Return those pages whose content is not the page-sized pattern.

        A hole is looked at as a page of zeros, and stays a hole.
        """
        expected = np.frombuffer(pattern, np.uint8)
        runs: list[StartEnd] = []
        for file, offset, size, start_pfn in self.layout.file_runs(pages):
            for at in range(0, size, _READ_BYTES):
                nr_bytes = min(_READ_BYTES, size - at)
                data = os.pread(self._fds[file], nr_bytes, offset + at)
                rows = np.frombuffer(data, np.uint8).reshape(-1, PAGE_SIZE) != expected
                first = start_pfn + (at >> PAGE_SHIFT)
                runs += [
                    (first + n, first + n + 1)
                    for n in np.flatnonzero(rows.any(axis=1)).tolist()
                ]
        return ExtentSet(runs)


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


def data_runs(fd: int, size: int) -> Iterator[StartEnd]:
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


def _punch_hole(fd: int, offset: int, size: int) -> None:
    """Make a byte range of a file a hole.

    Raises:
        LabError: the file system refuses.
    """
    if _LIBC.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, offset, size) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise LabError(f"guest RAM {Span(offset, offset + size)}: {reason}")
