"""State what a form of output cannot say of a map."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from e820pool.findings import Finding, counted
from e820pool.sweep import distinct
from e820pool.type_words import (
    TYPE_WITHOUT_NUMBER,
    log_words,
    match_log_words,
    resource_name,
    type_of_resource,
    type_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.memory_map import MemoryMap

__all__ = ("Form", "as_read_back", "losses")

Form = Literal["2.4", "pre-3.5", "3.5", "7.0", "iomem", "memmap"]
"""The forms with words for types; the rest say a map as it is."""

_SHOWN = 4


def as_read_back(kind: int, form: Form) -> int:
    """Return which type a reader takes the form's word for ``kind`` for."""
    if form == "iomem" or form == "memmap":  # noqa: PLR1714  mypy narrows by ==
        read = type_of_resource(resource_name(kind))
    else:
        read = match_log_words(log_words(kind, form)).kind
    return TYPE_WITHOUT_NUMBER if read is None else read


def losses(memory_map: MemoryMap, form: Form) -> tuple[Finding, ...]:
    """Return as notes what is lost when the map is written in ``form``."""
    return tuple(
        Finding(id=id_, level="note", message=message)
        for id_, message in (*_types(memory_map, form), *_shape(memory_map, form))
    )


def _types(memory_map: MemoryMap, form: Form) -> Iterator[tuple[str, str]]:
    kinds = distinct(memory_map.entries["type"]).tolist()
    lost = [kind for kind in kinds if as_read_back(kind, form) != kind]
    for kind in lost[:_SHOWN]:
        word = _word(kind, form)
        count = int((memory_map.entries["type"] == kind).sum())
        yield (
            "type-lost",
            f"{counted(count, 'entry')} ({type_text(kind)}) written as {word!r}",
        )
    if len(lost) > _SHOWN:
        yield "type-lost", f"and so are those of {len(lost) - _SHOWN} more types"


def _word(kind: int, form: Form) -> str:
    if form == "iomem" or form == "memmap":  # noqa: PLR1714  mypy narrows by ==
        return resource_name(kind)
    return log_words(kind, form)


def _shape(memory_map: MemoryMap, form: Form) -> Iterator[tuple[str, str]]:
    # Only a tree of resources has a shape of its own.
    if form != "iomem":
        return
    table = memory_map.entries
    empty = int((table["size"] == 0).sum())
    if empty:
        yield "empty-lost", f"{counted(empty, 'entry')} of size 0 left out"
    rows = [row for row in memory_map.rows() if row[1]]
    if rows != sorted(rows):
        yield "order-lost", "the entries are written sorted by address"
    ordered = sorted(rows)
    if any(lower[0] + lower[1] > upper[0] for lower, upper in pairwise(ordered)):
        yield "overlap-lost", "overlaps are resolved: where two meet, the higher type"
