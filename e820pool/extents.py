"""Sets of half-open ranges, in pages or bytes, with algebra over whole arrays."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np

from e820pool.errors import InputError
from e820pool.range_lists import (
    coalesce_lists,
    intersect_lists,
    merge_lists,
    subtract_lists,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from e820pool.range_lists import Lists, StartEnd

    U64 = NDArray[np.uint64]
    Bounds = tuple[U64, U64]

__all__ = (
    "MAX_PFN",
    "PAGE_SHIFT",
    "PAGE_SIZE",
    "SHORT",
    "ByteRangeSet",
    "ExtentSet",
    "RangeSet",
    "Span",
    "coalesce_bounds",
    "intersect_bounds",
    "merge_bounds",
    "merge_sorted",
    "round_up",
    "span_of",
    "subtract_bounds",
)

PAGE_SHIFT = 12  #: A PFN is an address shifted right by this.
PAGE_SIZE = 1 << PAGE_SHIFT  #: Bytes of a page.

#: 2^52 bytes is all that x86-64 can address, 2^64 all that an entry can name.
MAX_PFN = 1 << (64 - PAGE_SHIFT)
_MAX_BYTE = (1 << 64) - 1
_PIECE = 1024

#: Ranges up to which lists of plain integers are quicker than numpy (measured: an
#: intersection with a few ranges is ten times as fast, a union of two such sets half).
SHORT = 128


def round_up(number: int, step: int) -> int:
    """Return the lowest multiple of ``step`` that is not below ``number``."""
    return -(-number // step) * step


class Span(NamedTuple):
    """The half-open range ``[start, end)``, of bytes unless its name says pages.

    Example:
        >>> window = Span.at(0x10_0000, 0x2800)
        >>> str(window), window.size, window.pages_touched()
        ('[mem 0x100000-0x1027ff]', 10240, Span(0x100, 0x103))
    """

    start: int
    end: int

    @classmethod
    def at(cls, addr: int, size: int) -> Self:
        """Return ``[addr, addr + size)``, which may reach beyond 2^64."""
        return cls(addr, addr + size)

    @property
    def size(self) -> int:
        """How many bytes, or pages, there are in it."""
        return self.end - self.start

    def overlaps(self, other: StartEnd) -> bool:
        """Return whether the two have a byte, or page, in common."""
        return max(self.start, other[0]) < min(self.end, other[1])

    def below(self, limit: int) -> Self:
        """Return what of it lies below ``limit``, of size 0 where nothing does."""
        return type(self)(min(self.start, limit), min(self.end, limit))

    def without(self, other: StartEnd) -> list[Self]:
        """Return what of it lies below and above the other, where anything does."""
        start, end = self
        kind = type(self)
        parts = (kind(start, min(end, other[0])), kind(max(start, other[1]), end))
        return [part for part in parts if part.start < part.end]

    def pages_touched(self) -> Self:
        """Return the PFNs of the pages of which any byte lies in it."""
        return type(self)(self.start >> PAGE_SHIFT, -(-self.end >> PAGE_SHIFT))

    def pages_inside(self) -> Self:
        """Return the PFNs of the pages that lie wholly in it, of size 0 if none."""
        start, end = -(-self.start >> PAGE_SHIFT), self.end >> PAGE_SHIFT
        return type(self)(start, max(start, end))

    def __str__(self) -> str:
        # As kernels print ranges of bytes, which they never do of none.
        if self.start < self.end:
            return f"[mem {self.start:#x}-{self.end - 1:#x}]"
        return f"[{self.start:#x}, {self.end:#x})"

    def __repr__(self) -> str:
        return f"Span({self.start:#x}, {self.end:#x})"


span_of = partial(tuple.__new__, Span)
"""As ``Span._make()``, of a pair, at a third of its cost."""


def coalesce_bounds(starts: U64, ends: U64) -> Bounds:
    """Join touching and overlapping ranges; drop empty ones.

    Args:
        starts: uint64, any order, shape (n,).
        ends: uint64, exclusive, same shape, each at least its start.

    Returns:
        Sorted, disjoint, non-touching starts and ends; arrays of their own.
    """
    keep = starts < ends
    if bool(keep.all()):
        # The common case, as sets are mostly made of sets: nothing to do.
        if bool(np.all(starts[1:] > ends[:-1])):
            return starts.copy(), ends.copy()
    else:
        starts, ends = starts[keep], ends[keep]
    if starts.size < 2:
        return starts, ends
    # Starts and ends are sorted independently: a merged range begins at a start by
    # which all earlier ranges have ended, whichever end belongs to which start.
    return _joined(_sorted(starts), _sorted(ends))


def merge_bounds(left: Bounds, right: Bounds) -> Bounds:
    """Return the union of two sorted, disjoint sets, in linear time."""
    return _joined(merge_sorted(left[0], right[0]), merge_sorted(left[1], right[1]))


def intersect_bounds(left: Bounds, right: Bounds) -> Bounds:
    """Return what two sorted, disjoint sets have in common, sorted and disjoint."""
    # Of two sets that share little the smaller one asks.
    if left[0].size > right[0].size:
        left, right = right, left
    (starts, ends), (their_starts, their_ends) = left, right
    # For each of our ranges, those of the other that overlap it are one slice.
    first = np.searchsorted(their_ends, starts, side="right")
    counts = np.searchsorted(their_starts, ends, side="left") - first
    touched = np.flatnonzero(counts)
    counts = counts[touched]
    mine = np.repeat(touched, counts)
    skipped = np.repeat(first[touched] - counts.cumsum() + counts, counts)
    theirs = skipped + np.arange(mine.size)
    return (
        np.maximum(starts[mine], their_starts[theirs]),
        np.minimum(ends[mine], their_ends[theirs]),
    )


def subtract_bounds(left: Bounds, right: Bounds) -> Bounds:
    """Return what of one sorted, disjoint set is not in the other."""
    cut = intersect_bounds(left, right)
    if not cut[0].size:
        return left
    # Of a set and a part of it the difference begins where the set begins or the
    # part ends, and ends where the part begins or the set ends.
    starts, ends = merge_sorted(left[0], cut[1]), merge_sorted(left[1], cut[0])
    keep = starts < ends
    return starts[keep], ends[keep]


def merge_sorted(left: U64, right: U64) -> U64:
    """Return the values of two sorted arrays, sorted, in linear time."""
    if not (left.size and right.size):
        return left if left.size else right
    # A stable sort finds the two runs and merges them.
    return np.sort(np.concatenate((left, right)), kind="stable")


def _sorted(values: U64) -> U64:
    is_sorted = bool(np.all(values[:-1] <= values[1:]))
    return values if is_sorted else np.sort(values)


def _joined(starts: U64, ends: U64) -> Bounds:
    # Sorted apart, to sorted ranges that neither overlap nor touch.
    opens = np.ones(starts.size + 1, np.bool_)
    np.greater(starts[1:], ends[:-1], out=opens[1:-1])
    return starts[opens[:-1]], ends[opens[1:]]


class RangeSet:
    """An immutable, sorted set of disjoint half-open ranges.

    The unit is the subclass's business; two sets combine only when they are of
    the same class. Bounds are uint64; the limit of a range's end is ``LIMIT``.
    A set of up to :data:`SHORT` ranges is worked on as lists, a larger one as arrays.
    """

    __slots__ = ("_arrays", "_lists")
    LIMIT: ClassVar[int] = _MAX_BYTE
    UNIT: ClassVar[str] = "unit"

    # At least one of the two is there. Lists are there of every short set.
    _arrays: Bounds | None
    _lists: Lists | None

    def __init__(self, ranges: Iterable[StartEnd] = ()) -> None:
        pairs = list(ranges)
        limit = self.LIMIT
        for start, end in pairs:
            if not 0 <= start <= end <= limit:
                raise InputError(
                    f"{self.UNIT} range [{start:#x}, {end:#x}) is not within "
                    f"[0, {limit:#x})"
                )
        if len(pairs) <= SHORT:
            self._arrays, self._lists = None, coalesce_lists(pairs)
        else:
            table = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
            self._hold(coalesce_bounds(table[:, 0], table[:, 1]))

    @classmethod
    def from_bounds(cls, starts: U64, ends: U64) -> Self:
        """Return the set of ``[starts[i], ends[i])``; any order, overlaps joined."""
        if starts.size <= SHORT:
            pairs = zip(starts.tolist(), ends.tolist(), strict=True)
            return cls._of_lists(coalesce_lists(pairs))
        return cls._of(
            coalesce_bounds(
                starts.astype(np.uint64, copy=False), ends.astype(np.uint64, copy=False)
            )
        )

    @classmethod
    def of_valid(cls, ranges: Sequence[StartEnd]) -> Self:
        """Return the set of ranges of which it is known that they are within limits."""
        if len(ranges) <= SHORT:
            return cls._of_lists(coalesce_lists(ranges))
        return cls(ranges)

    @classmethod
    def _of(cls, bounds: Bounds) -> Self:
        # Of bounds that are a set already.
        ranges = cls.__new__(cls)
        ranges._hold(bounds)  # noqa: SLF001  own class
        return ranges

    @classmethod
    def _of_lists(cls, lists: Lists) -> Self:
        # Of lists that are a set already.
        ranges = cls.__new__(cls)
        ranges._arrays, ranges._lists = None, lists  # noqa: SLF001  own class
        if len(lists[0]) > SHORT:
            ranges._hold(ranges._bounds)  # noqa: SLF001  own class
        return ranges

    def _hold(self, bounds: Bounds) -> None:
        self._arrays, self._lists = bounds, None
        if bounds[0].size <= SHORT:
            self._lists = bounds[0].tolist(), bounds[1].tolist()

    @property
    def _bounds(self) -> Bounds:
        if self._arrays is None:
            starts, ends = self._lists or ((), ())
            self._arrays = np.array(starts, np.uint64), np.array(ends, np.uint64)
        return self._arrays

    @property
    def starts(self) -> U64:
        """Return the sorted starts, uint64, shape (n,)."""
        return self._bounds[0]

    @property
    def ends(self) -> U64:
        """Return the exclusive ends, uint64, shape (n,)."""
        return self._bounds[1]

    @property
    def total(self) -> int:
        """Return how many units all ranges cover together."""
        if self._lists is not None:
            return sum(self._lists[1]) - sum(self._lists[0])
        return int((self.ends - self.starts).sum(dtype=np.uint64))

    def __len__(self) -> int:
        if self._lists is not None:
            return len(self._lists[0])
        return int(self.starts.size)

    def __bool__(self) -> bool:
        return self._lists is None or bool(self._lists[0])

    def __iter__(self) -> Iterator[Span]:
        if self._lists is not None:
            return map(span_of, zip(*self._lists, strict=True))
        return self._pieces()

    def _pieces(self) -> Iterator[Span]:
        # In pieces, as whoever wants the first few should not pay for all.
        for at in range(0, len(self), _PIECE):
            piece = slice(at, at + _PIECE)
            starts, ends = self.starts[piece], self.ends[piece]
            yield from map(span_of, zip(starts.tolist(), ends.tolist(), strict=True))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        if self._lists is not None or other._lists is not None:
            return self._lists == other._lists
        return bool(
            np.array_equal(self.starts, other.starts)
            and np.array_equal(self.ends, other.ends)
        )

    def __hash__(self) -> int:
        if self._lists is not None:
            return hash((type(self), *map(tuple, self._lists)))
        return hash((type(self), self.starts.tobytes(), self.ends.tobytes()))

    def __repr__(self) -> str:
        shown = ", ".join(f"[{start:#x}, {end:#x})" for start, end in islice(self, 8))
        more = f", ... {len(self) - 8} more" if len(self) > 8 else ""
        return f"{type(self).__name__}({shown}{more})"

    def __or__(self, other: Self) -> Self:
        if self._lists is not None and other._lists is not None:
            return self._of_lists(merge_lists(self._lists, other._lists))
        return self._of(merge_bounds(self._bounds, other._bounds))

    def __and__(self, other: Self) -> Self:
        if self._lists is not None and other._lists is not None:
            return self._of_lists(intersect_lists(self._lists, other._lists))
        return self._of(intersect_bounds(self._bounds, other._bounds))

    def __invert__(self) -> Self:
        return type(self)([(0, self.LIMIT)]) - self

    def __sub__(self, other: Self) -> Self:
        if self._lists is not None and other._lists is not None:
            return self._of_lists(subtract_lists(self._lists, other._lists))
        return self._of(subtract_bounds(self._bounds, other._bounds))

    def contains(self, start: int, end: int) -> bool:
        """Return whether every unit of ``[start, end)`` is in the set."""
        if start >= end:
            return True
        if self._lists is not None:
            at = bisect_right(self._lists[0], start) - 1
            return at >= 0 and end <= self._lists[1][at]
        at = int(np.searchsorted(self.starts, np.uint64(start), side="right")) - 1
        return at >= 0 and end <= int(self.ends[at])

    def overlaps(self, start: int, end: int) -> bool:
        """Return whether any unit of ``[start, end)`` is in the set."""
        if start >= end:
            return False
        if self._lists is not None:
            at = bisect_right(self._lists[1], start)
            return at < len(self._lists[0]) and self._lists[0][at] < end
        at = int(np.searchsorted(self.ends, np.uint64(start), side="right"))
        return at < len(self) and int(self.starts[at]) < end

    def covers(self, other: Self) -> bool:
        """Return whether ``other`` is a subset of this set."""
        return not (other - self)


class ExtentSet(RangeSet):
    """A set of pages: half-open PFN ranges of 4 KiB pages.

    Example:
        >>> deposits = ExtentSet([(0x100, 0x200), (0x200, 0x280)])
        >>> deposits - ExtentSet([(0x180, 0x190)])
        ExtentSet([0x100, 0x180), [0x190, 0x280))
        >>> deposits.nr_pages, deposits.covers(ExtentSet([(0x1FF, 0x201)]))
        (384, True)
    """

    __slots__ = ()
    LIMIT: ClassVar[int] = MAX_PFN
    UNIT: ClassVar[str] = "PFN"

    @property
    def nr_pages(self) -> int:
        """Return the number of 4 KiB pages in the set."""
        return self.total

    def pairs(self) -> list[StartEnd]:
        """Return ``(base_pfn, nr_pages)`` rows, sorted: the JSON form."""
        return [(start, end - start) for start, end in self]

    def to_bytes(self) -> ByteRangeSet:
        """Return the same memory as byte ranges.

        The page that ends at 2^64 loses its last byte, which no byte range can
        name; no machine has that page.
        """
        if self._lists is not None:
            starts, ends = ([pfn << PAGE_SHIFT for pfn in pfns] for pfns in self._lists)
            if ends and ends[-1] > _MAX_BYTE:
                ends[-1] = _MAX_BYTE
            return ByteRangeSet._of_lists((starts, ends))  # noqa: SLF001  of this family
        return ByteRangeSet._of(self._byte_bounds())  # noqa: SLF001  of this family

    def _byte_bounds(self) -> Bounds:
        shift = np.uint64(PAGE_SHIFT)
        ends = np.minimum(self.ends, np.uint64(MAX_PFN - 1)) << shift
        last = self.ends >= np.uint64(MAX_PFN)
        ends[last] = _MAX_BYTE
        return self.starts << shift, ends


class ByteRangeSet(RangeSet):
    """A set of bytes: half-open address ranges with ends up to 2^64 - 1.

    Example:
        >>> ram = ByteRangeSet([(0x800, 0x3800)])
        >>> ram.pages_inside(), ram.pages_touched()
        (ExtentSet([0x1, 0x3)), ExtentSet([0x0, 0x4)))
    """

    __slots__ = ()
    UNIT: ClassVar[str] = "byte"

    @property
    def total_bytes(self) -> int:
        """Return the number of bytes in the set."""
        return self.total

    def pages_inside(self) -> ExtentSet:
        """Return the pages that lie wholly in the set (rounds inward)."""
        if self._lists is not None:
            inside = [
                (-(-start >> PAGE_SHIFT), end >> PAGE_SHIFT)
                for start, end in zip(*self._lists, strict=True)
            ]
            return ExtentSet.of_valid(
                [pages for pages in inside if pages[0] < pages[1]]
            )
        shift, low = np.uint64(PAGE_SHIFT), np.uint64(PAGE_SIZE - 1)
        starts = (self.starts >> shift) + ((self.starts & low) != 0)
        ends = self.ends >> shift
        return ExtentSet.from_bounds(starts, np.maximum(starts, ends))

    def pages_touched(self) -> ExtentSet:
        """Return the pages of which any byte lies in the set (rounds outward)."""
        if self._lists is not None:
            touched = [
                (start >> PAGE_SHIFT, -(-end >> PAGE_SHIFT))
                for start, end in zip(*self._lists, strict=True)
            ]
            return ExtentSet.of_valid(touched)
        shift, low = np.uint64(PAGE_SHIFT), np.uint64(PAGE_SIZE - 1)
        ends = (self.ends >> shift) + ((self.ends & low) != 0)
        return ExtentSet.from_bounds(self.starts >> shift, ends)
