"""Where the original proposal's bitmap arithmetic differs from ours.

mm/pmpool.c of the series "Introduce persistent memory pool" (RFC v2, 25 September
2023), pmpool_fixup_cma(): the number of unsigned longs, BITS_TO_LONGS(), is used
as if it were a number of bytes. It is eight times too small.
"""

from __future__ import annotations

from e820pool.extents import PAGE_SIZE
from e820pool.findings import Finding
from rivals.bitmap import bits_to_longs
from rivals.region import bitmap_pages

__all__ = ("differences_from_series", "series_bitmap_pages", "series_cleared_bytes")

_SOURCE = "persistent memory pool RFC v2, patch 4, mm/pmpool.c pmpool_fixup_cma()"


def series_cleared_bytes(nr_pages: int) -> int:
    """Return how many bytes of the bitmap the series clears: an eighth."""
    return bits_to_longs(nr_pages)


def series_bitmap_pages(nr_pages: int) -> int:
    """Return how many of its own pages the series marks used.

    Right up to 128 MiB (0x8000 pages), too few above.
    """
    return -(-series_cleared_bytes(nr_pages) // PAGE_SIZE)


def differences_from_series(base_pfn: int, nr_pages: int) -> tuple[Finding, ...]:
    """Return what the series would do wrong with a region of this size."""
    right, marked = bitmap_pages(nr_pages), series_bitmap_pages(nr_pages)
    cleared = series_cleared_bytes(nr_pages)
    stale = Finding(
        id="series-bitmap-stale",
        level="note",
        message=f"the series clears {cleared:#x} of the bitmap's {cleared * 8:#x} "
        "bytes: the rest says of its pages what the memory held before",
        source=_SOURCE,
    )
    if marked == right:
        return (stale,)
    free = Finding(
        id="series-bitmap-given-away",
        level="note",
        message=f"the series marks {marked} of the bitmap's {right} pages used: it "
        "gives the others to the first who asks, and with them its own state",
        extents=((base_pfn + marked, base_pfn + right),),
        source=_SOURCE,
    )
    return stale, free
