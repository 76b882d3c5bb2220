"""A pool in one fixed region, its allocation bitmap in the region's own first pages.

::

    base                                                   base + size
    [ bitmap page(s) |  a page a bit, from bit 0 = base itself  ...  )
      always used

This is the pool of the original proposal: CMA over one region, with the bitmap
moved into it, so that the state lies where the next kernel can take it over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import BadImageError, InputError
from e820pool.extents import PAGE_SIZE
from e820pool.pool.pool import validate_align_order
from rivals.bitmap import BITS_PER_LONG, PageBitmap, bits_to_longs

if TYPE_CHECKING:
    from e820pool.pool.option import PmpoolOption

__all__ = ("PmpoolRegion", "bitmap_pages")


def bitmap_pages(nr_pages: int) -> int:
    """Return how many pages the bitmap of a region of ``nr_pages`` fills."""
    nr_bytes = bits_to_longs(nr_pages) * BITS_PER_LONG // 8
    return -(-nr_bytes // PAGE_SIZE)


class PmpoolRegion:
    """Allocate pages of one region with CMA's semantics; remember them in a bitmap.

    A new region has all its pages free but those that hold the bitmap. Methods
    leave the region unchanged when they raise or say that they did nothing.
    """

    __slots__ = ("_bitmap", "option")

    def __init__(self, option: PmpoolOption) -> None:
        self.option = option
        self._bitmap = PageBitmap(option.nr_pages)
        self._bitmap.set_run(0, self.nr_bitmap_pages)

    @property
    def nr_bitmap_pages(self) -> int:
        """Return how many of the first pages hold the bitmap."""
        return bitmap_pages(self.option.nr_pages)

    @property
    def nr_used(self) -> int:
        """Return how many pages are used, those of the bitmap included."""
        return self._bitmap.nr_used

    @property
    def bitmap(self) -> PageBitmap:
        """Return a copy of the bitmap; bit 0 is the region's first page."""
        return self._bitmap.copy()

    def encode_bitmap(self) -> bytes:
        """Return the bitmap as it lies in memory from the region's base on."""
        return self._bitmap.encode()

    def alloc(
        self,
        nr_pages: int,
        align_order: int = 0,
        *,
        owner: int = 0,  # noqa: ARG002  a bitmap knows no owners
    ) -> int | None:
        """Return the first PFN of ``nr_pages`` that were free, None if none fit.

        The lowest fit of which the PFN is a multiple of ``2^align_order``; as
        cma_alloc() (mm/cma.c, 6.1), to which no pages at all is a failure too.

        Raises:
            InputError: ``align_order`` is above 63.
        """
        validate_align_order(align_order)
        if nr_pages <= 0:
            return None
        mask = (1 << align_order) - 1
        # Alignment is that of the address, and the base need not have it
        # (cma_bitmap_aligned_offset()).
        offset = self.option.base_pfn & mask
        first = self._bitmap.find_free(nr_pages, align_mask=mask, align_offset=offset)
        if first is None:
            return None
        self._bitmap.set_run(first, nr_pages)
        return self.option.base_pfn + first

    def release(self, base_pfn: int, nr_pages: int) -> bool:
        """Free pages; False when they are not all within the region.

        cma_release() (mm/cma.c, 6.1) looks whether the *first* page is within, and
        stops the kernel (VM_BUG_ON) when the last is not.

        Raises:
            InputError: a page is free already, or holds the bitmap. The kernel
                would free it all the same, and hand it out twice.
        """
        first = base_pfn - self.option.base_pfn
        if nr_pages < 0 or not 0 <= first < self.option.nr_pages:
            return False
        if first + nr_pages > self.option.nr_pages:
            return False
        if nr_pages and first < self.nr_bitmap_pages:
            raise InputError(
                f"PFN {base_pfn:#x} holds the region's bitmap: not released"
            )
        if not self._bitmap.is_used(first, nr_pages):
            raise InputError(
                f"PFNs [{base_pfn:#x}, {base_pfn + nr_pages:#x}) are not all used: "
                "nothing to release"
            )
        self._bitmap.clear_run(first, nr_pages)
        return True

    def is_held(self, base_pfn: int, nr_pages: int) -> bool:
        """Return whether these pages are all allocated from here."""
        first = base_pfn - self.option.base_pfn
        return (
            nr_pages >= 0
            and self.nr_bitmap_pages <= first < self.option.nr_pages
            and first + nr_pages <= self.option.nr_pages
            and self._bitmap.is_used(first, nr_pages)
        )

    def restore(self, base_addr: int, size: int, bitmap: bytes) -> None:
        """Take over the bitmap that the previous kernel left, instead of a clear one.

        Args:
            base_addr: where the previous kernel had the region, bytes.
            size: its size in bytes.
            bitmap: what lies at ``base_addr``: at least the bitmap's bytes.

        Raises:
            InputError: base or size differ from this region's. The proposal goes
                on with a clear bitmap then, and gives deposited pages away.
            BadImageError: the bitmap is cut, or says its own pages are free.
        """
        self._validate_same("base", base_addr, self.option.base_addr)
        self._validate_same("size", size, self.option.size)
        taken = PageBitmap.parse(self.option.nr_pages, bitmap)
        if not taken.is_used(0, self.nr_bitmap_pages):
            raise BadImageError(
                f"bitmap at {base_addr:#x} says that one of its own "
                f"{self.nr_bitmap_pages} page(s) is free: the limit is 0"
            )
        self._bitmap = taken

    def _validate_same(self, what: str, saved: int, ours: int) -> None:
        if saved != ours:
            raise InputError(
                f"the saved pool's {what} {saved:#x} differs from {ours:#x} "
                f"of {self.option}"
            )
