"""Allocation policies for deposits, and the pages that each of them reserves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from e820pool.deposits import parse_size
from e820pool.errors import CapacityError, InputError
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE
from e820pool.stress.buddy import MAX_ORDER, Buddy
from e820pool.stress.grown import GrownArenas, MovableZone
from e820pool.stress.ordered import AddressOrdered
from e820pool.stress.workload import HV_DEPOSIT_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e820pool.range_lists import StartEnd
    from e820pool.stress.entries import EntryCount
    from e820pool.stress.host import HostPages

__all__ = (
    "DEFAULT_POLICIES",
    "PageSource",
    "Policy",
    "deposit_extents",
    "parse_policy",
)

DEFAULT_POLICIES = (
    "scattered",
    "per-node",
    "top-down",
    "cma:19x256M",
    "arenas:2M",
    "arenas:1G",
    "grown:2M-1G",
)
"""What ``stress`` compares when it is not told what to."""

_FIXED = re.compile(r"cma(?::(?P<count>\d{1,4})(?:x(?P<size>\w{1,20}))?)?")
_GROWING = re.compile(r"arenas(?::(?P<size>\w{1,20}))?")
_GROWN = re.compile(r"grown(?::(?P<step>\w{1,20})-(?P<home>\w{1,20}))?")
_MOVABLE = re.compile(r"movable(?::(?P<size>\w{1,20}))?")
# MAX_CMA_AREAS was 1 + CONFIG_CMA_AREAS, of which the default was 7, since 5.18 19
# with NUMA (mm/Kconfig); the largest that Kconfig takes is not bounded.
_CMA_AREAS = 19


class PageSource(Protocol):
    """What gives out pages for deposits, and takes them back."""

    def alloc_order(self, order: int, node: int) -> int | None:
        """Return the first PFN of ``2^order`` pages; None when there are none."""

    def deposited(self, extents: Iterable[StartEnd]) -> None:
        """Learn that pages that were given out are deposited now."""

    def withdrawn(self, start_pfn: int, end_pfn: int) -> None:
        """Take back an extent that was deposited as it is."""

    def withdrawn_page(self, start_pfn: int, end_pfn: int, pfn: int) -> None:
        """Take back one page of an extent; what is left of it stays deposited."""

    def give_back(self, start_pfn: int, end_pfn: int) -> None:
        """Take back pages that were given out and not deposited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy and how to set it up.

    Attributes:
        name: as the user writes it.
        is_local: pages are asked of the guest's own node, else of any.
        make_buddy: the allocator of a host's zones.
        make_source: from the host and the count of entries; raises CapacityError
            where the host has no room for the arenas.
    """

    name: str
    is_local: bool
    make_buddy: Callable[[], Buddy]
    make_source: Callable[[HostPages, EntryCount], PageSource]


def parse_policy(text: str) -> Policy:
    """Return the policy that ``text`` names.

    ``scattered``: the kernel's allocator, on the node of whichever CPU asks.
    ``per-node``: the same, on the guest's node. ``top-down``: the highest pages that
    are free. ``cma:NxSIZE``: N areas set aside at boot, and no pages beyond.
    ``arenas:SIZE``: one area of that size after another, given back when empty.
    ``grown:STEP-HOME``: arenas that grow by steps where they lie, within a home each.
    ``movable:SIZE``: the same by steps of 2 MiB in a movable zone of that size.

    Raises:
        InputError: it names none; a size is no power of two of pages.
    """
    direct: dict[str, tuple[bool, Callable[[], Buddy]]] = {
        "scattered": (False, Buddy),
        "per-node": (True, Buddy),
        "top-down": (True, partial(AddressOrdered, highest=True)),
    }
    if text in direct:
        is_local, make_buddy = direct[text]
        return Policy(
            name=text, is_local=is_local, make_buddy=make_buddy, make_source=_Direct
        )
    make_source: Callable[[HostPages, EntryCount], PageSource]
    if match := _FIXED.fullmatch(text):
        count, order = int(match["count"] or _CMA_AREAS), _order_of(match["size"])
        make_source = partial(_FixedAreas, count=count, order=order)
    elif match := _GROWING.fullmatch(text):
        make_source = partial(_GrowingArenas, order=_order_of(match["size"] or "2M"))
    elif match := _GROWN.fullmatch(text):
        step, home = _order_of(match["step"] or "2M"), _order_of(match["home"] or "1G")
        make_source = partial(GrownArenas, step=step, home=max(step, home))
    elif match := _MOVABLE.fullmatch(text):
        zone, step = _order_of(match["size"] or "4G"), _order_of("2M")
        make_source = partial(MovableZone, step=step, zone=max(step, zone))
    else:
        raise InputError(
            f"policy {text[:40]!r} is not one of: scattered, per-node, top-down, "
            "cma:NxSIZE, arenas:SIZE, grown:STEP-HOME, movable:SIZE"
        )
    return Policy(name=text, is_local=True, make_buddy=Buddy, make_source=make_source)


def deposit_extents(
    source: PageSource, nr_pages: int, node: int = 0
) -> list[StartEnd] | None:
    """Deposit in one call; return the extents, blocks that touch joined.

    As hv_call_deposit_pages() does (arch/x86/hyperv/hv_proc.c, 6.1): the largest order
    that the rest has room for, one down each time it fails. None when a single page
    cannot be had; all pages are back then.
    """
    taken: list[StartEnd] = []
    blocks: list[StartEnd] = []  # unjoined: given back one by one, in order
    rest = min(nr_pages, HV_DEPOSIT_MAX)
    while rest:
        order = rest.bit_length() - 1
        base = source.alloc_order(order, node)
        while base is None:
            if not order:
                for start, end in blocks:
                    source.give_back(start, end)
                return None
            order -= 1
            base = source.alloc_order(order, node)
        end = base + (1 << order)
        rest -= 1 << order
        blocks.append((base, end))
        if taken and taken[-1][1] == base:
            taken[-1] = (taken[-1][0], end)
        elif taken and taken[-1][0] == end:
            taken[-1] = (base, taken[-1][1])
        else:
            taken.append((base, end))
    source.deposited(taken)
    return taken


def _order_of(size: str | None) -> int:
    nr_bytes = parse_size(size or "256M")
    nr_pages = nr_bytes >> PAGE_SHIFT
    if nr_bytes < PAGE_SIZE or nr_bytes & (nr_bytes - 1) or nr_pages >= 1 << 40:
        raise InputError(
            f"an arena of {nr_bytes:#x} bytes: a power of two from {PAGE_SIZE:#x} on"
        )
    return nr_pages.bit_length() - 1


class _Direct:
    # The host's own allocator: what is deposited is what is RESERVED.
    __slots__ = ("_entries", "_host")

    def __init__(self, host: HostPages, entries: EntryCount) -> None:
        self._host, self._entries = host, entries

    def alloc_order(self, order: int, node: int) -> int | None:
        return self._host.alloc_order(order, node)

    def deposited(self, extents: Iterable[StartEnd]) -> None:
        self._entries.add_all(extents)

    def withdrawn(self, start_pfn: int, end_pfn: int) -> None:
        self._entries.remove(start_pfn, end_pfn)
        self._host.free(start_pfn, end_pfn)

    def withdrawn_page(self, start_pfn: int, end_pfn: int, pfn: int) -> None:
        self._entries.remove(start_pfn, end_pfn)
        parts = ((start_pfn, pfn), (pfn + 1, end_pfn))
        self._entries.add_all((start, end) for start, end in parts if start < end)
        self._host.free(pfn, pfn + 1)

    def give_back(self, start_pfn: int, end_pfn: int) -> None:
        self._host.free(start_pfn, end_pfn)


class _FixedAreas:
    # Areas that are taken at boot and RESERVED as a whole from then on.
    __slots__ = ("_areas",)

    def __init__(
        self, host: HostPages, entries: EntryCount, *, count: int, order: int
    ) -> None:
        self._areas = AddressOrdered(MAX_ORDER)
        for at in range(count):
            start = host.take_aligned(order, at % host.nr_nodes)
            if start is None:
                raise CapacityError(
                    f"the host has no room for area {at} of {count}: {1 << order:#x} "
                    "contiguous free pages"
                )
            end = start + (1 << order)
            self._areas.free(start, end)
            entries.add(start, end)

    def alloc_order(self, order: int, node: int) -> int | None:  # noqa: ARG002  areas know no nodes
        return self._areas.alloc_order(order)

    def deposited(self, extents: Iterable[StartEnd]) -> None:
        """Nothing changes: the areas are RESERVED already."""

    def withdrawn(self, start_pfn: int, end_pfn: int) -> None:
        self._areas.free(start_pfn, end_pfn)

    def withdrawn_page(self, start_pfn: int, end_pfn: int, pfn: int) -> None:  # noqa: ARG002  areas know no extents
        self._areas.free(pfn, pfn + 1)

    give_back = withdrawn


class _GrowingArenas:
    # An arena is taken when all others are full, and RESERVED as a whole; when it is
    # empty it goes back to the host.
    __slots__ = ("_arenas", "_entries", "_host", "_order")

    def __init__(self, host: HostPages, entries: EntryCount, *, order: int) -> None:
        self._host, self._entries, self._order = host, entries, order
        self._arenas = AddressOrdered(order)

    def alloc_order(self, order: int, node: int) -> int | None:
        if order > self._order:
            return None
        start = self._arenas.alloc_order(order)
        if start is not None:
            return start
        start = self._host.take_aligned(self._order, node)
        if start is None:
            return None
        end = start + (1 << self._order)
        self._arenas.free(start, end)
        self._entries.add(start, end)
        return self._arenas.alloc_order(order)

    def deposited(self, extents: Iterable[StartEnd]) -> None:
        """Nothing changes: the arenas are RESERVED already."""

    def withdrawn(self, start_pfn: int, end_pfn: int) -> None:
        self._arenas.free(start_pfn, end_pfn)
        size = 1 << self._order
        for start, end in self._arenas.take_run(end_pfn - start_pfn):
            for at in range(start, end, size):
                self._entries.remove(at, at + size)
            self._host.free(start, end)

    def withdrawn_page(self, start_pfn: int, end_pfn: int, pfn: int) -> None:  # noqa: ARG002  arenas know no extents
        self.withdrawn(pfn, pfn + 1)

    give_back = withdrawn
