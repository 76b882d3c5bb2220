"""Compare two maps address by address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np

from e820pool.documents import Count, Document, FindingDocument, Part, document_text
from e820pool.errors import InputError
from e820pool.findings import one_line
from e820pool.report.columns import columns
from e820pool.report.map_table import human_size, type_label
from e820pool.report.paint import plain
from e820pool.sweep import distinct, sweep_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]
    from collections.abc import Callable, Iterable, Sequence

    from e820pool.memory_map import MemoryMap
    from e820pool.report.paint import Paint


__all__ = (
    "Change",
    "DiffDocument",
    "DiffRange",
    "MapDiff",
    "MapPart",
    "Side",
    "diff_json",
    "diff_maps",
    "diff_text",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one map says of some bytes: the entry that decides, and its type."""

    number: int
    type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRange:
    """The bytes ``[addr, addr + size)``, for which each map has one entry.

    Attributes:
        addr: first byte.
        size: in bytes.
        a, b: None where a map has no entry.
    """

    addr: int
    size: int
    a: Side | None
    b: Side | None

    @property
    def types(self) -> tuple[int | None, int | None]:
        """Return the type in each map, None where it has no entry."""
        return (
            None if self.a is None else self.a.type,
            None if self.b is None else self.b.type,
        )

    @property
    def is_same(self) -> bool:
        """Return whether both maps give these bytes the same type."""
        return self.types[0] == self.types[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The sum of the bytes that are ``a`` in one map and ``b`` in the other.

    Attributes:
        a, b: types, None for no entry.
        size: bytes in all ranges together.
        ranges: how many there are.
    """

    a: int | None
    b: int | None
    size: int
    ranges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDiff:
    """Two maps and all their segments, by address.

    Attributes:
        a, b: the maps.
        segments: sorted and disjoint; what neither map has is left out.
    """

    a: MemoryMap
    b: MemoryMap
    segments: tuple[DiffRange, ...]

    @property
    def is_equal(self) -> bool:
        """Return whether every byte has the same type in both maps."""
        return all(segment.is_same for segment in self.segments)

    @property
    def has_same_entries(self) -> bool:
        """Return whether the tables are equal entry by entry, in their order."""
        return self.a == self.b

    def ranges(self) -> list[DiffRange]:
        """Return the segments, joined where neighbours have the same types."""
        joined: list[DiffRange] = []
        for segment in self.segments:
            last = joined[-1] if joined else None
            if (
                last is not None
                and last.addr + last.size == segment.addr
                and last.types == segment.types
            ):
                joined[-1] = replace(last, size=last.size + segment.size)
            else:
                joined.append(segment)
        return joined

    def changes(self) -> list[Change]:
        """Return what differs, summed up by type, the largest first."""
        sizes: dict[tuple[int | None, int | None], list[int]] = {}
        for segment in self.ranges():
            if not segment.is_same:
                sizes.setdefault(segment.types, []).append(segment.size)
        changes = [
            Change(a=a, b=b, size=sum(changed), ranges=len(changed))
            for (a, b), changed in sizes.items()
        ]
        return sorted(changes, key=lambda change: -change.size)


def diff_maps(a: MemoryMap, b: MemoryMap) -> MapDiff:
    """Return both maps cut at every address at which an entry of either decides.

    Where entries of one map overlap, the highest type decides, as for every kernel
    (:mod:`e820pool.sweep`); among equals the first. Type 0 is no entry.

    Raises:
        InputError: an entry reaches 2^64.
    """
    sides = [_decided(memory_map) for memory_map in (a, b)]
    points = distinct(np.concatenate([x for side in sides for x in side[:2]]))
    columns = [_sides_at(points[:-1], *side) for side in sides]
    segments = (
        DiffRange(addr=start, size=end - start, a=side_a, b=side_b)
        for (start, end), side_a, side_b in zip(
            pairwise(points.tolist()), *columns, strict=True
        )
        if side_a is not None or side_b is not None
    )
    return MapDiff(a=a, b=b, segments=tuple(segments))


def _sides_at(
    points: U64, starts: U64, ends: U64, sides: list[Side]
) -> list[Side | None]:
    if not sides:
        return [None] * points.size
    below = np.searchsorted(starts, points, side="right").astype(np.int64) - 1
    inside = (below >= 0) & (points < ends[below])
    return [
        sides[at] if is_inside else None
        for at, is_inside in zip(below.tolist(), inside.tolist(), strict=True)
    ]


# The sorted, disjoint ranges in which an entry of a map decides, and which.
def _decided(memory_map: MemoryMap) -> tuple[U64, U64, list[Side]]:
    # The sweep over ranks in place of types: each entry has its own, the higher the
    # type and the earlier the entry, the higher.
    entries = memory_map.entries
    try:
        memory_map.table.validate_resolvable()
    except InputError as exc:
        raise InputError(f"{memory_map.origin or 'a map'}: {exc}") from exc
    kinds = entries["type"]
    order = np.lexsort((-np.arange(kinds.size), kinds))
    ranks = np.empty(kinds.size, np.uint32)
    ranks[order] = np.arange(1, kinds.size + 1, dtype=np.uint32)
    ranks[kinds == 0] = 0
    addrs, sizes, swept = sweep_arrays(entries["addr"], entries["size"], ranks)
    numbers = order[swept - 1].tolist()
    sides = [Side(number=at, type=int(kinds[at])) for at in numbers]
    return addrs, addrs + sizes, sides


# What stands before a row, and how the row is painted.
_MARKS = {
    "same": ("=", ""),
    "only in A": ("<", "red"),
    "only in B": (">", "green"),
    "changed": ("~", "yellow"),
}
_Row = tuple[str, str, str, str]

_HEADER: _Row = ("first-last byte", "size", "A", "B")


class MapPart(Part, frozen=True, kw_only=True):
    """One of the two maps."""

    origin: str
    entries: Count
    notes: tuple[FindingDocument, ...]

    @classmethod
    def of(cls, memory_map: MemoryMap) -> Self:
        """Return what is said of a map."""
        return cls(
            origin=memory_map.origin,
            entries=len(memory_map),
            notes=FindingDocument.all_of(memory_map.notes),
        )


class DiffDocument(Document, frozen=True, kw_only=True, tag="map-diff"):
    """Two maps; ``ranges`` are ``[addr, size, type in a, type in b or null]``."""

    a: MapPart
    b: MapPart
    equal: bool
    same_entries: bool
    changes: tuple[Change, ...]
    ranges: tuple[tuple[Count, Count, Count | None, Count | None], ...]


def diff_text(
    diff: MapDiff, *, width: int = 80, only_changes: bool = False, paint: Paint = plain
) -> str:
    """Return the maps side by side by address, and a summary of what differs.

    Args:
        diff: the comparison.
        width: columns; what of an entry is told depends on it.
        only_changes: leave out the rows that are the same.
        paint: adds colour (:func:`e820pool.report.paint.painter`).
    """
    shown = [
        segment for segment in diff.segments if not (only_changes and segment.is_same)
    ]
    parts = [_names(diff, width)]
    if shown:
        parts.append(_table(diff, shown, width, paint))
    parts.append(_summary(diff, paint))
    return "\n\n".join(parts) + "\n"


def diff_json(diff: MapDiff) -> str:
    """Return the comparison as JSON.

    ``ranges`` are ``[addr, size, type in a, type in b]``, null where a map has no
    entry; neighbours that agree in both types are one range.
    """
    return document_text(
        DiffDocument(
            a=MapPart.of(diff.a),
            b=MapPart.of(diff.b),
            equal=diff.is_equal,
            same_entries=diff.has_same_entries,
            changes=tuple(diff.changes()),
            ranges=tuple(
                (segment.addr, segment.size, *segment.types)
                for segment in diff.ranges()
            ),
        )
    )


def _names(diff: MapDiff, width: int) -> str:
    lines = []
    for letter, memory_map in (("A", diff.a), ("B", diff.b)):
        count = f"  ({_count(len(memory_map), 'entry', 'entries')})"
        room = max(width - 3 - len(count), 20)
        # The end of a path tells more than its start.
        name = one_line(memory_map.origin)
        if len(name) > room:
            name = "..." + name[3 - room :]
        lines.append(f"{letter}  {name}{count}")
    return "\n".join(lines)


def _count(count: int, singular: str, plural: str) -> str:
    return f"{count} {singular if count == 1 else plural}"


def _kind(segment: DiffRange) -> str:
    if segment.is_same:
        return "same"
    if segment.a is None or segment.b is None:
        return "only in B" if segment.a is None else "only in A"
    return "changed"


def _table(diff: MapDiff, shown: Sequence[DiffRange], width: int, paint: Paint) -> str:
    # The fullest of the forms that fits; a row is painted once it is laid out.
    digits = max(8, *(len(f"{segment.addr + segment.size - 1:x}") for segment in shown))
    heads = [
        (_range(segment.addr, segment.size, digits), human_size(segment.size))
        for segment in shown
    ]
    for form in _forms(diff, digits):
        rows = [
            (*head, _cell(form, "A", segment.a), _cell(form, "B", segment.b))
            for head, segment in zip(heads, shown, strict=True)
        ]
        widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
        if sum(widths) + 2 * len(widths) <= width:
            break
    lines = [f"  {_line(_HEADER, widths)}"]
    for segment, row in zip(shown, rows, strict=True):
        mark, style = _MARKS[_kind(segment)]
        line = f"{mark} {_line(row, widths)}"
        lines.append(paint(style, line) if style else line)
    return "\n".join(lines)


def _cell(form: Callable[[str, Side], str], letter: str, side: Side | None) -> str:
    return "-" if side is None else form(letter, side)


# Addresses and sizes stand to the right, what maps say to the left.
def _line(cells: _Row, widths: list[int]) -> str:
    place, size, a, b = widths
    line = f"{cells[0]:>{place}}  {cells[1]:>{size}}  {cells[2]:<{a}}  {cells[3]:<{b}}"
    return line.rstrip()


def _forms(diff: MapDiff, digits: int) -> Iterable[Callable[[str, Side], str]]:
    # How an entry is told, beginning with all there is to say of it.
    rows = {"A": diff.a.rows(), "B": diff.b.rows()}

    def whole(letter: str, side: Side) -> str:
        addr, size, kind = rows[letter][side.number]
        span = _range(addr, size, digits)
        return f"#{side.number} {span} {type_label(kind)}"

    yield whole
    yield lambda _, side: f"#{side.number} {type_label(side.type)}"
    yield lambda _, side: type_label(side.type)
    yield lambda _, side: f"type {side.type}"


def _range(addr: int, size: int, digits: int) -> str:
    return f"{addr:0{digits}x}-{addr + size - 1:0{digits}x}"


def _summary(diff: MapDiff, paint: Paint) -> str:
    same = human_size(sum(segment.size for segment in diff.segments if segment.is_same))
    if diff.is_equal:
        return f"equal: all {same} have the same types{_how_tables_differ(diff)}"
    changes = diff.changes()
    total = sum(change.size for change in changes)
    rows = [
        (
            _word(change.a),
            "->",
            _word(change.b),
            human_size(change.size),
            _count(change.ranges, "range", "ranges"),
        )
        for change in changes
    ]
    table = columns(rows, right=(3,))
    head = paint("bold", f"different: {human_size(total)}; same: {same}")
    return head + "\n" + "\n".join(f"  {line}" for line in table.splitlines())


def _word(kind: int | None) -> str:
    return "no entry" if kind is None else type_label(kind)


def _how_tables_differ(diff: MapDiff) -> str:
    if diff.has_same_entries:
        return ""
    if sorted(diff.a.rows()) == sorted(diff.b.rows()):
        return ", and the tables differ only in the order of their entries"
    return ", and the tables differ only in how they are split into entries"
