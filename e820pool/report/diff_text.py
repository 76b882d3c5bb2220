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


def _kind(segment: Segment) -> str:
    if segment.is_same:
        return "same"
    if segment.a is None or segment.b is None:
        return "only in B" if segment.a is None else "only in A"
    return "changed"


def _table(diff: MapDiff, shown: Sequence[Segment], width: int, paint: Paint) -> str:
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
