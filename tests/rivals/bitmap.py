"""A page bitmap: one bit a page, kept as runs of used pages."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Self

import numpy as np

from e820pool.errors import BadImageError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ("BITS_PER_LONG", "MAX_BITS", "PageBitmap", "bits_to_longs")

#: unsigned long on x86-64.
BITS_PER_LONG = 64

MAX_BITS = 1 << 32
"""Pages that one bitmap can name: 16 TiB. A guard, no kernel limit: the bitmap of
a larger region would itself be more than 512 MiB."""


def bits_to_longs(nr_bits: int) -> int:
    """Return how many unsigned longs hold ``nr_bits`` (a count, not bytes)."""
    return -(-nr_bits // BITS_PER_LONG)


class PageBitmap:
    """Hold which of ``nr_bits`` pages are used; all are free at first.

    Kept as sorted, disjoint, never touching runs ``[first, after)`` of used bits,
    so that a search costs the number of runs, whatever the number of pages.
    Every method leaves the bitmap unchanged when it raises.
    """

    __slots__ = ("_ends", "_starts", "nr_bits")

    def __init__(self, nr_bits: int) -> None:
        if not 0 < nr_bits <= MAX_BITS:
            raise InputError(
                f"a bitmap of {nr_bits:#x} pages: the limits are 1 and {MAX_BITS:#x}"
            )
        self.nr_bits = nr_bits
        self._starts: list[int] = []
        self._ends: list[int] = []

    @classmethod
    def parse(cls, nr_bits: int, data: bytes) -> Self:
        """Return the bitmap that a kernel keeps in memory as ``data``.

        Bit ``i`` is bit ``i % 64`` of the little-endian unsigned long ``i // 64``
        (include/linux/bitmap.h, 6.1). What lies behind the last bit is ignored,
        as the kernel ignores it.

        Raises:
            BadImageError: there are fewer bytes than the bits need.
        """
        made = cls(nr_bits)
        needed = made.nr_bytes
        if len(data) < needed:
            raise BadImageError(
                f"bitmap of {len(data):#x} bytes is cut: {nr_bits:#x} pages "
                f"need {needed:#x}"
            )
        edges = _edges(np.frombuffer(data, np.uint8, needed), nr_bits)
        made._starts, made._ends = edges[::2], edges[1::2]
        return made

    @property
    def nr_bytes(self) -> int:
        """Return the bytes of the bitmap in memory: whole unsigned longs."""
        return bits_to_longs(self.nr_bits) * BITS_PER_LONG // 8

    @property
    def nr_used(self) -> int:
        """Return the number of used bits."""
        return sum(self._ends) - sum(self._starts)

    def encode(self) -> bytes:
        """Return the bytes in memory, as :meth:`parse` reads them; padding is 0."""
        changes = np.zeros(self.nr_bytes, np.uint8)
        edges = np.array([*self._starts, *self._ends], np.int64)
        edges = edges[edges < self.nr_bytes * 8]
        bits = np.left_shift(1, edges & 7).astype(np.uint8)
        np.bitwise_xor.at(changes, edges >> 3, bits)
        return _fill_between(changes).tobytes()

    def used_runs(self) -> Iterator[tuple[int, int]]:
        """Yield the half-open runs of used bits, ascending."""
        return iter(zip(self._starts, self._ends, strict=True))

    def free_runs(self) -> Iterator[tuple[int, int]]:
        """Yield the half-open runs of free bits, ascending."""
        before = 0
        for first, after in self.used_runs():
            if before < first:
                yield before, first
            before = after
        if before < self.nr_bits:
            yield before, self.nr_bits

    def copy(self) -> Self:
        """Return an independent bitmap with the same bits."""
        made = type(self)(self.nr_bits)
        made._starts = self._starts.copy()
        made._ends = self._ends.copy()
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PageBitmap):
            return NotImplemented
        return (self.nr_bits, self._starts, self._ends) == (
            other.nr_bits,
            other._starts,
            other._ends,
        )

    # Mutable, so it cannot be a dictionary's key.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PageBitmap({self.nr_used} of {self.nr_bits} used)"

    def is_used(self, first: int, nr_bits: int) -> bool:
        """Return whether every bit of the run is used."""
        self._validate_run(first, nr_bits)
        at = bisect_right(self._starts, first) - 1
        return nr_bits == 0 or (at >= 0 and first + nr_bits <= self._ends[at])

    def find_free(
        self,
        nr_bits: int,
        *,
        align_mask: int = 0,
        align_offset: int = 0,
        start: int = 0,
    ) -> int | None:
        """Return the lowest bit from which ``nr_bits`` are free, None if none.

        The answer plus ``align_offset`` is a multiple of ``align_mask + 1``, and is
        at least ``start``: bitmap_find_next_zero_area_off() (lib/bitmap.c, 6.1).
        """
        for first, after in self.free_runs():
            lowest = max(first, start) + align_offset
            aligned = ((lowest + align_mask) & ~align_mask) - align_offset
            if aligned + nr_bits <= after:
                return aligned
        return None

    def set_run(self, first: int, nr_bits: int) -> None:
        """Mark bits used, whatever they were; InputError outside the bitmap."""
        self._validate_run(first, nr_bits)
        if nr_bits == 0:
            return
        after = first + nr_bits
        # Runs that overlap or touch become one with this run.
        low, high = bisect_left(self._ends, first), bisect_right(self._starts, after)
        if low < high:
            first = min(first, self._starts[low])
            after = max(after, self._ends[high - 1])
        self._starts[low:high], self._ends[low:high] = [first], [after]

    def clear_run(self, first: int, nr_bits: int) -> None:
        """Mark bits free, whatever they were; InputError outside the bitmap."""
        self._validate_run(first, nr_bits)
        after = first + nr_bits
        low, high = bisect_right(self._ends, first), bisect_left(self._starts, after)
        if nr_bits == 0 or low >= high:
            return
        # What the outermost runs have on either side of this run stays.
        kept = [(self._starts[low], first), (after, self._ends[high - 1])]
        kept = [(one, two) for one, two in kept if one < two]
        self._starts[low:high] = [one for one, _ in kept]
        self._ends[low:high] = [two for _, two in kept]

    def _validate_run(self, first: int, nr_bits: int) -> None:
        if first < 0 or nr_bits < 0 or first + nr_bits > self.nr_bits:
            raise InputError(
                f"bits [{first:#x}, {first + nr_bits:#x}) are not within "
                f"[0, {self.nr_bits:#x})"
            )


def _edges(packed: NDArray[np.uint8], nr_bits: int) -> list[int]:
    # The bits at which use begins and ends, in turn. Only the bytes that hold a
    # change are taken apart: large bitmaps are mostly long runs.
    bits = packed.copy()
    tail = nr_bits & 7
    bits[nr_bits >> 3 :] = 0
    if tail:
        bits[nr_bits >> 3] = packed[nr_bits >> 3] & np.uint8((1 << tail) - 1)
    before = np.concatenate((np.zeros(1, np.uint8), bits[:-1])) >> np.uint8(7)
    changes = bits ^ ((bits << np.uint8(1)) | before)
    touched = np.flatnonzero(changes)
    rows, columns = np.nonzero(
        np.unpackbits(changes[touched, None], axis=1, bitorder="little")
    )
    edges: list[int] = (touched[rows] * 8 + columns).tolist()
    if len(edges) % 2:
        edges.append(nr_bits)
    return edges


def _fill_between(changes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # The inverse: each bit becomes the parity of the changes up to and with it.
    bits = changes
    for step in (1, 2, 4):
        bits = bits ^ (bits << np.uint8(step))
    odd = np.bitwise_xor.accumulate(bits >> np.uint8(7))
    carry = np.concatenate((np.zeros(1, np.uint8), odd[:-1]))
    return bits ^ (carry * np.uint8(0xFF))
