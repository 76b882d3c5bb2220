"""Ranges of a map that a page tells apart: type, deposit, and where each is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.extents import MAX_PFN, PAGE_SHIFT, ByteRangeSet, Span
from e820pool.report.table import human_size, type_label
from e820pool.report.zones import Look, look_of_type
from e820pool.sweep import distinct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from e820pool.deposits import DepositLedger
    from e820pool.extents import ExtentSet
    from e820pool.memory_map import MemoryMap

__all__ = (
    "NO_ENTRY",
    "Layer",
    "MapRange",
    "extent_layer",
    "ledger_layer",
    "map_layer",
    "ranges_of",
    "segments",
)

NO_ENTRY = "no entry"
"""Of bytes that a map does not name."""

# More names than this help nobody.
_NAMED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRange:
    """Bytes ``[start, end)`` that look the same and have one source."""

    start: int
    end: int
    look: Look
    words: str
    source: str

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self.end - self.start

    @property
    def title(self) -> str:
        """Return range, size, type and source in a sentence."""
        span = f"{Span(self.start, self.end)} {human_size(self.size)}"
        return f"{span}, {self.words}; from {self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Disjoint sorted ranges in bytes, each with words and a source."""

    starts: NDArray[Any]
    ends: NDArray[Any]
    words: tuple[str, ...]
    sources: tuple[str, ...]
    looks: tuple[Look, ...]

    def at(self, addrs: NDArray[Any]) -> list[int]:
        """Return the index of the range that holds each address, -1 without one."""
        if not self.words:
            return [-1] * addrs.size
        below = np.searchsorted(self.starts, addrs, side="right").astype(np.int64) - 1
        inside: list[int] = np.where(addrs < self.ends[below], below, -1).tolist()
        return inside


def map_layer(memory_map: MemoryMap, names: Sequence[str]) -> Layer:
    """Return the ranges of a map once its overlaps are resolved.

    Args:
        memory_map: entries in any order.
        names: where each entry is from, one for each.

    Raises:
        InputError: an entry reaches 2^64.
    """
    flat = memory_map.flatten().entries
    origin = _Origins(memory_map.entries, names)
    rows = flat.tolist()
    return Layer(
        starts=flat["addr"],
        ends=flat["addr"] + flat["size"],
        words=tuple(type_label(kind) for _, _, kind in rows),
        sources=tuple(origin.of(addr, addr + size, kind) for addr, size, kind in rows),
        looks=tuple(look_of_type(kind) for _, _, kind in rows),
    )


def ledger_layer(ledger: DepositLedger) -> Layer:
    """Return the deposits of a ledger, owner by owner."""
    rows = ledger.rows
    owners = [f"deposited by owner {owner:#x}" for owner in rows["owner"].tolist()]
    return _deposits(rows["start"], rows["end"], owners)


def extent_layer(extents: ExtentSet) -> Layer:
    """Return deposited pages of which nobody says whose they are."""
    return _deposits(extents.starts, extents.ends, ["deposited"] * len(extents))


def _deposits(starts: NDArray[Any], ends: NDArray[Any], words: list[str]) -> Layer:
    # The page that ends at 2^64 loses its last byte, as in ExtentSet.to_bytes().
    shift, last = np.uint64(PAGE_SHIFT), ends >= np.uint64(MAX_PFN)
    top = np.uint64(ByteRangeSet.LIMIT)
    return Layer(
        starts=starts << shift,
        ends=np.where(last, top, ends << shift),
        words=tuple(words),
        sources=tuple(f"deposit {at + 1}" for at in range(len(words))),
        looks=(Look.DEPOSITED,) * len(words),
    )


def segments(layers: Sequence[Layer]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield ``start, end`` of each stretch that some layer has, and the index in each.

    No stretch crosses a bound of any layer; an index of -1 says that one has nothing.
    """
    bounds = distinct(
        np.concatenate([x for layer in layers for x in (layer.starts, layer.ends)])
    )
    columns = zip(*(layer.at(bounds[:-1]) for layer in layers), strict=True)
    spans = zip(bounds[:-1].tolist(), bounds[1:].tolist(), columns, strict=True)
    for start, end, indices in spans:
        if any(at >= 0 for at in indices):
            yield start, end, indices


def ranges_of(layer: Layer, deposits: Layer | None = None) -> tuple[MapRange, ...]:
    """Return the ranges of a map, cut at the deposits that lie on top."""
    layers = [layer] if deposits is None else [layer, deposits]
    ranges = []
    for start, end, (at, *on_top) in segments(layers):
        words = layer.words[at] if at >= 0 else NO_ENTRY
        source = layer.sources[at] if at >= 0 else NO_ENTRY
        look = layer.looks[at] if at >= 0 else Look.NOTHING
        if deposits is not None and on_top[0] >= 0:
            words = f"{words}, {deposits.words[on_top[0]]}"
            source = f"{source}, {deposits.sources[on_top[0]]}"
            look = Look.DEPOSITED
        ranges.append(
            MapRange(start=start, end=end, look=look, words=words, source=source)
        )
    return tuple(ranges)


class _Origins:
    # Which entries a flat range was made of, by bisection over their sorted starts.

    def __init__(self, entries: NDArray[Any], names: Sequence[str]) -> None:
        order = np.argsort(entries["addr"], kind="stable")
        self.rows = entries[order]
        self.names = [names[at] for at in order.tolist()]
        # No entry before the first whose running end passes an address can reach it.
        self.reach = np.maximum.accumulate(self.rows["addr"] + self.rows["size"])

    def of(self, start: int, end: int, kind: int) -> str:
        low = int(np.searchsorted(self.reach, np.uint64(start), side="right"))
        high = int(np.searchsorted(self.rows["addr"], np.uint64(end), side="left"))
        found = [
            name
            for (addr, size, type_), name in zip(
                self.rows[low:high].tolist(), self.names[low:high], strict=True
            )
            if addr < end and addr + size > start and type_ == kind
        ]
        if len(found) > _NAMED:
            return f"{found[0]} and {len(found) - 1} others"
        return " and ".join(found)
