"""diff(view, view): where two readings of one handoff differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
from e820pool.extents import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.kernel.view import KernelView, Row

__all__ = ("Difference", "diff")

_MAPS = ("bios_map", "extended_map", "user_map")
# A console of which the log buffer lost the start does not show these.
_LOST_WITH_MESSAGES = frozenset({"bios_map", "extended_map"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field in which two views differ, with the first rows that do."""

    field: str
    one: str
    other: str


def diff(one: KernelView, other: KernelView) -> tuple[Difference, ...]:
    """Return where the views differ; empty when they say the same.

    Compared is what both engines can know: the source of the map, the maps as
    the kernel prints them (type 128 prints as usable before 6.18, so that it
    counts as RAM where the other side has RAM), the memory, and whether the
    boot went on.
    """
    differences = [_compare("map_source", [one.map_source], [other.map_source])]
    lost = any("messages-lost" in view.warnings for view in (one, other))
    names = [n for n in _MAPS if not (lost and n in _LOST_WITH_MESSAGES)]
    differences += [_compare(n, getattr(one, n), getattr(other, n)) for n in names]
    if (one.fatal is None) != (other.fatal is None):
        differences.append(
            Difference(field="fatal", one=str(one.fatal), other=str(other.fatal))
        )
    elif one.memory and other.memory:
        differences.append(_compare("memory", one.memory, other.memory))
    return tuple(filter(None, differences))


def _compare(
    field: str, one: Iterable[object] | None, other: Iterable[object] | None
) -> Difference | None:
    if one is None or other is None:
        if one is other:
            return None
        return Difference(field=field, one=_count(one), other=_count(other))
    left, right = list(one), list(other)
    for at in range(max(len(left), len(right))):
        mine = left[at] if at < len(left) else None
        theirs = right[at] if at < len(right) else None
        if not _same(mine, theirs):
            return Difference(
                field=f"{field}[{at}]", one=_shown(mine), other=_shown(theirs)
            )
    return None


def _same(mine: object, theirs: object) -> bool:
    if mine == theirs:
        return True
    if not (isinstance(mine, tuple) and isinstance(theirs, tuple)):
        return False
    if len(mine) != 3 or len(theirs) != 3:
        return False
    return mine[:2] == theirs[:2] and _prints_alike(mine, theirs)


def _prints_alike(mine: Row, theirs: Row) -> bool:
    usable = {E820_TYPE_RAM, E820_TYPE_RESERVED_KERN}
    return mine[2] in usable and theirs[2] in usable


def _count(rows: Iterable[object] | None) -> str:
    return "none" if rows is None else f"{len(list(rows))} rows"


def _shown(row: object) -> str:
    if isinstance(row, tuple) and not isinstance(row, Span):
        return "(" + ", ".join(f"{number:#x}" for number in row) + ")"
    return "nothing" if row is None else str(row)
