"""A comparison of two maps: side by side for people, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from e820pool.documents import Count, Document, FindingDocument, Part, document_text
from e820pool.findings import one_line
from e820pool.report.columns import columns
from e820pool.report.map_diff import Change
from e820pool.report.paint import plain
from e820pool.report.table import human_size, type_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from e820pool.memory_map import MemoryMap
    from e820pool.report.map_diff import MapDiff, Segment, Side
    from e820pool.report.paint import Paint

__all__ = (
    "DiffDocument",
    "MapPart",
    "diff_json",
    "diff_text",
)

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
    def of(cls, one: MemoryMap) -> Self:
        """Return what is said of a map."""
        return cls(
            origin=one.origin,
            entries=len(one),
            notes=FindingDocument.all_of(one.notes),
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
    found: MapDiff, *, width: int = 80, only_changes: bool = False, paint: Paint = plain
) -> str:
    """Return the maps side by side by address, and a summary of what differs.

    Args:
        found: the comparison.
        width: columns; what of an entry is told depends on it.
        only_changes: leave out the rows that are the same.
        paint: adds colour (:func:`e820pool.report.paint.painter`).
    """
    shown = [one for one in found.segments if not (only_changes and one.is_same)]
    parts = [_names(found, width)]
    if shown:
        parts.append(_table(found, shown, width, paint))
    parts.append(_summary(found, paint))
    return "\n\n".join(parts) + "\n"


def diff_json(found: MapDiff) -> str:
    """Return the comparison as JSON.

    ``ranges`` are ``[addr, size, type in a, type in b]``, null where a map has no
    entry; neighbours that agree in both types are one range.
    """
    return document_text(
        DiffDocument(
            a=MapPart.of(found.a),
            b=MapPart.of(found.b),
            equal=found.is_equal,
            same_entries=found.has_same_entries,
            changes=tuple(found.changes()),
            ranges=tuple((one.addr, one.size, *one.types) for one in found.ranges()),
        )
    )


def _names(found: MapDiff, width: int) -> str:
    lines = []
    for letter, one in (("A", found.a), ("B", found.b)):
        count = f"  ({_count(len(one), 'entry', 'entries')})"
        room = max(width - 3 - len(count), 20)
        # The end of a path tells more than its start.
        name = one_line(one.origin)
        if len(name) > room:
            name = "..." + name[3 - room :]
        lines.append(f"{letter}  {name}{count}")
    return "\n".join(lines)


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _kind(one: Segment) -> str:
    if one.is_same:
        return "same"
    if one.a is None or one.b is None:
        return "only in B" if one.a is None else "only in A"
    return "changed"


def _table(found: MapDiff, shown: Sequence[Segment], width: int, paint: Paint) -> str:
    # The fullest of the forms that fits; a row is painted once it is laid out.
    digits = max(8, *(len(f"{one.addr + one.size - 1:x}") for one in shown))
    heads = [
        (_range(one.addr, one.size, digits), human_size(one.size)) for one in shown
    ]
    for form in _forms(found, digits):
        rows = [
            (*head, _told(form, "A", one.a), _told(form, "B", one.b))
            for head, one in zip(heads, shown, strict=True)
        ]
        widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
        if sum(widths) + 2 * len(widths) <= width:
            break
    lines = [f"  {_line(_HEADER, widths)}"]
    for one, row in zip(shown, rows, strict=True):
        mark, style = _MARKS[_kind(one)]
        line = f"{mark} {_line(row, widths)}"
        lines.append(paint(style, line) if style else line)
    return "\n".join(lines)


def _told(form: Callable[[str, Side], str], letter: str, side: Side | None) -> str:
    return "-" if side is None else form(letter, side)


# Addresses and sizes stand to the right, what maps say to the left.
def _line(cells: _Row, widths: list[int]) -> str:
    place, size, a, b = widths
    line = f"{cells[0]:>{place}}  {cells[1]:>{size}}  {cells[2]:<{a}}  {cells[3]:<{b}}"
    return line.rstrip()


def _forms(found: MapDiff, digits: int) -> Iterable[Callable[[str, Side], str]]:
    # How an entry is told, beginning with all there is to say of it.
    rows = {"A": found.a.rows(), "B": found.b.rows()}

    def whole(letter: str, side: Side) -> str:
        addr, size, kind = rows[letter][side.number]
        told = _range(addr, size, digits)
        return f"#{side.number} {told} {type_label(kind)}"

    yield whole
    yield lambda _, side: f"#{side.number} {type_label(side.type)}"
    yield lambda _, side: type_label(side.type)
    yield lambda _, side: f"type {side.type}"


def _range(addr: int, size: int, digits: int) -> str:
    return f"{addr:0{digits}x}-{addr + size - 1:0{digits}x}"


def _summary(found: MapDiff, paint: Paint) -> str:
    same = human_size(sum(one.size for one in found.segments if one.is_same))
    if found.is_equal:
        return f"equal: all {same} have the same types{_how_tables_differ(found)}"
    changes = found.changes()
    total = sum(one.size for one in changes)
    rows = [
        (
            _word(one.a),
            "->",
            _word(one.b),
            human_size(one.size),
            _count(one.ranges, "range", "ranges"),
        )
        for one in changes
    ]
    table = columns(rows, right=(3,))
    head = paint("bold", f"different: {human_size(total)}; same: {same}")
    return head + "\n" + "\n".join(f"  {line}" for line in table.splitlines())


def _word(kind: int | None) -> str:
    return "no entry" if kind is None else type_label(kind)


def _how_tables_differ(found: MapDiff) -> str:
    if found.has_same_entries:
        return ""
    if sorted(found.a.rows()) == sorted(found.b.rows()):
        return ", and the tables differ only in the order of their entries"
    return ", and the tables differ only in how they are split into entries"
