"""What a kernel with the persistent memory pool series does with what it is given.

RFC v2 of 25 September 2023, patch 4 (parse_pmpool_opt(), pmpool_fixup_cma()) and
patch 6 (pmpool_fdt_restore(), default_pmpool_fixup_cma()).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from e820pool.errors import BadImageError, InputError
from e820pool.extents import ExtentSet
from rivals.device_tree import find_pmpool_node
from rivals.region import PmpoolRegion

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.abi.fdt import PmpoolNode
    from e820pool.pool.option import PmpoolOption

__all__ = ("SeriesPool", "series_boot")

_NO_TREE = "no device tree node is compatible with pmpool"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPool:
    """Hold the pool that such a kernel ends up with.

    Attributes:
        region: None where the kernel makes none: the memory is ordinary RAM.
        origin: ``restored`` the bitmap was taken over; ``fresh`` it was cleared, so
            that every page of the region is free again; ``none``.
        reason: why it was not restored, "" where it was.
    """

    region: PmpoolRegion | None
    origin: Literal["restored", "fresh", "none"]
    reason: str = ""

    def forgotten(self, deposits: ExtentSet) -> ExtentSet:
        """Return the deposited pages that this pool would give to whoever asks."""
        if self.region is None:
            return deposits
        base = self.region.option.base_pfn
        used = ExtentSet(
            (base + first, base + after)
            for first, after in self.region.bitmap.used_runs()
        )
        return deposits - used

    def usable(self, deposits: ExtentSet) -> ExtentSet:
        """Return the deposited pages that the kernel's own allocator may hand out.

        A region's pages are freed as movable memory by cma_activate_area() (6.1
        mm/cma.c), a core_initcall; the bitmap is taken over by a postcore_initcall,
        and binds those alone who ask the pool. So all of them, restored or not; where
        no pool is made the region is RAM from the start.
        """
        if self.region is None:
            return deposits
        option = self.region.option
        freed = ExtentSet([(option.base_pfn, option.base_pfn + option.nr_pages)])
        return (deposits & freed) | self.forgotten(deposits)


def series_boot(
    option: PmpoolOption | None,
    tree: bytes | None,
    memory: Callable[[int, int], bytes],
    reserved: ExtentSet | None = None,
) -> SeriesPool:
    """Return the pool of a kernel with the series.

    The device tree does not make the pool, the command line does; a tree alone is
    looked at by nobody. A tree that does not match is refused and the pool made anew.

    Args:
        option: ``pmpool=`` of its command line, None without.
        tree: the SETUP_DTB node's payload, None without.
        memory: ``(addr, nr_bytes)`` to the bytes there, for the bitmap.
        reserved: pages that are reserved when the option is parsed.
    """
    if option is None:
        return SeriesPool(region=None, origin="none", reason="no pmpool= is given")
    asked = ExtentSet([(option.base_pfn, option.base_pfn + option.nr_pages)])
    if reserved is not None and asked & reserved:
        reason = "the region overlaps what is reserved already"
        return SeriesPool(region=None, origin="none", reason=reason)
    region = PmpoolRegion(option)
    try:
        node = None if tree is None else find_pmpool_node(tree)
    except BadImageError as exc:
        return SeriesPool(region=region, origin="fresh", reason=str(exc))
    if node is None:
        return SeriesPool(region=region, origin="fresh", reason=_NO_TREE)
    return _restored(region, node, memory)


def _restored(
    region: PmpoolRegion, node: PmpoolNode, memory: Callable[[int, int], bytes]
) -> SeriesPool:
    length = len(region.encode_bitmap())
    try:
        region.restore(node.base, node.size, memory(node.bitmap, length))
    except (InputError, BadImageError) as exc:
        return SeriesPool(region=region, origin="fresh", reason=str(exc))
    return SeriesPool(region=region, origin="restored")
