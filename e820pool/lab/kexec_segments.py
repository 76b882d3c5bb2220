"""The segments of kexec_load(2): exactly our parts, each at its own address."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from e820pool.errors import CapacityError, InputError
from e820pool.extents import PAGE_SIZE, ByteRangeSet, ExtentSet, round_up
from e820pool.lab.kexec_stub import build_kexec_stub
from e820pool.lab.qemu import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.lab.bind import BoundKernel

__all__ = ("KexecImage", "KexecSegment", "kexec_image")

# KEXEC_SEGMENT_MAX (uapi/linux/kexec.h).
_MAX_SEGMENTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class KexecSegment:
    """Hold one segment.

    Attributes:
        at: where its bytes begin in the payload.
        nr_bytes: how many; the rest of ``size`` is zeros.
        addr: where it goes, a page.
        size: whole pages.
    """

    what: str
    at: int
    nr_bytes: int
    addr: int
    size: int

    @property
    def end(self) -> int:
        """Return the exclusive end address."""
        return self.addr + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class KexecImage:
    """Hold what kexec_load(2) is given.

    Attributes:
        payload: the bytes of all segments, each from a page on.
        segments: in the order of their addresses.
        entry: the address that the old kernel jumps to.
    """

    payload: bytes
    segments: tuple[KexecSegment, ...]
    entry: int

    def pages(self) -> ExtentSet:
        """Return the pages that the old kernel overwrites when it leaves."""
        spans = [(one.addr, one.end) for one in self.segments]
        return ByteRangeSet(spans).pages_touched()


def kexec_image(bound: BoundKernel) -> KexecImage:
    """Return the segments that put a bound kernel in place.

    The kernel's segment is as long as its window: the old kernel then keeps its page
    tables and its copying loop out of the range that the decompressor overwrites
    (kernel/kexec_core.c kimage_alloc_normal_control_pages()).

    Raises:
        InputError: a segment would lie under a deposit, which the kernel does not
            check, or two overlap.
        CapacityError: more segments than the system call takes.
    """
    stub = build_kexec_stub(addr=bound.stub_addr, entry=bound.entry)
    parts = [*bound.parts, Part(what="stub", addr=bound.stub_addr, data=stub)]
    if len(parts) > _MAX_SEGMENTS:
        raise CapacityError(
            f"{len(parts)} segments do not fit: the limit is {_MAX_SEGMENTS}"
        )
    at, segments, pieces = 0, [], []
    for part in sorted(parts, key=lambda part: part.addr):
        segments.append(_segment(part, at, _size(part, bound)))
        # Joined once: an initrd may fill much of the memory that there is.
        pieces += [part.data, bytes(-len(part.data) % PAGE_SIZE)]
        at += _pages(len(part.data))
    image = KexecImage(
        payload=b"".join(pieces), segments=tuple(segments), entry=bound.stub_addr
    )
    _validate_apart(image.segments)
    for start, end in image.pages() & bound.handoff.ledger.extents:
        raise InputError(
            f"kexec segments cover deposited PFNs [{start:#x}, {end:#x}): the old "
            "kernel would overwrite them"
        )
    return image


def _size(part: Part, bound: BoundKernel) -> int:
    window = bound.handoff.kernel_window
    if part.what == "kernel" and window is not None:
        return _pages(max(window[1] - window[0], len(part.data)))
    return _pages(len(part.data))


def _segment(part: Part, at: int, size: int) -> KexecSegment:
    if part.addr % PAGE_SIZE:
        raise InputError(
            f"{part.what} at {part.addr:#x}: kexec_load(2) wants a multiple of "
            f"{PAGE_SIZE:#x}"
        )
    return KexecSegment(
        what=part.what, at=at, nr_bytes=len(part.data), addr=part.addr, size=size
    )


def _validate_apart(segments: Sequence[KexecSegment]) -> None:
    for one, two in pairwise(segments):
        if two.addr < one.end:
            raise InputError(
                f"{one.what} ends at {one.end:#x}, over {two.what} at {two.addr:#x}"
            )


def _pages(size: int) -> int:
    return round_up(size, PAGE_SIZE)
