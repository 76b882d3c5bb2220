"""The decompressor's list of places where the kernel fits."""

from __future__ import annotations

from dataclasses import dataclass, field

from e820pool.extents import Span, round_up

__all__ = ("Request", "SlotList")

# MAX_SLOT_AREA of kaslr.c (4.9 to 7.3): further regions are ignored.
_MAX_SLOT_AREAS = 100

_GIB = 1 << 30
_U64_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Say what is looked for.

    Attributes:
        image_size: bytes that must fit.
        minimum: no slot lies below this address.
        limit: no slot's image reaches beyond this address.
        step: alignment of slots in bytes.
        avoided: bytes ``[start, end)`` that no slot's image may overlap.
        exact_fits: whether room before an avoided range that the image fills to the
            last byte is taken.
        wraps: whether a region that wraps is looked at.
        last_gigantic: whether a 1 GiB page that a region ends with is one.
    """

    image_size: int
    minimum: int
    limit: int
    step: int
    avoided: tuple[Span, ...] = ()
    exact_fits: bool = True
    wraps: bool = True
    last_gigantic: bool = True


@dataclass(slots=True, kw_only=True)
class SlotList:
    """Collect slot areas, at most 100.

    Attributes:
        areas: ``(first_addr, nr_slots)``.
        gigantic_pages: 1 GiB pages still to be left alone.
    """

    request: Request
    areas: list[tuple[int, int]] = field(default_factory=list)
    gigantic_pages: int = 0

    @property
    def is_full(self) -> bool:
        """Return whether no further area is taken."""
        return len(self.areas) >= _MAX_SLOT_AREAS

    def offer(self, start: int, end: int) -> None:
        """Add the slots of one region of RAM.

        Linux 6.1 arch/x86/boot/compressed/kaslr.c __process_mem_region().
        """
        wanted = self.request
        if not wanted.wraps and start >= end:
            return
        start, end = max(start, wanted.minimum), min(end, wanted.limit)
        while not self.is_full:
            # Rounding up wraps: a region just below 2^64 then begins at 0.
            start = round_up(start, wanted.step) & _U64_MAX
            if start > end or end - start < wanted.image_size:
                return
            hit = self._first_overlap(start, end)
            if hit is None:
                self._store_around_gigantic_pages(start, end)
                return
            if hit.start >= start + wanted.image_size + (not wanted.exact_fits):
                self._store_around_gigantic_pages(start, hit.start)
            start = hit.end

    # The end of a range wraps: one of 2^64 - 1 bytes ends below its start, and is
    # gone once the region begins behind that end. mem_overlaps().
    def _first_overlap(self, start: int, end: int) -> Span | None:
        avoided = (Span(s.start, s.end & _U64_MAX) for s in self.request.avoided)
        hits = [s for s in avoided if s.start < end and s.end > start]
        return min(hits, key=lambda s: s.start, default=None)

    # process_gb_huge_pages(): whole 1 GiB pages that hugepages= asks for stay free.
    def _store_around_gigantic_pages(self, start: int, end: int) -> None:
        first = round_up(start, _GIB)
        last = (end - (not self.request.last_gigantic)) // _GIB * _GIB
        if not self.gigantic_pages or first >= last:
            self._store(start, end)
            return
        size = self.request.image_size
        if first >= start + size:
            self._store(start, first)
        taken = min(self.gigantic_pages, (last - first) // _GIB)
        self.gigantic_pages -= taken
        kept = first + taken * _GIB
        if end >= kept + size:
            self._store(kept, end)

    def _store(self, start: int, end: int) -> None:
        if not self.is_full:
            slack = end - start - self.request.image_size
            self.areas.append((start, 1 + slack // self.request.step))
