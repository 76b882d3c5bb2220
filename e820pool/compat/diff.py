"""diff(view, view): where two readings of one handoff differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
from e820pool.extents import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.kernel.view import KernelView
    from e820pool.range_lists import Row

__all__ = ("Difference", "diff")

_MAPS = ("bios_map", "extended_map", "user_map")
# A console of which the log buffer lost the start does not show these.
_LOST_WITH_MESSAGES = frozenset({"bios_map", "extended_map"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field in which two views differ, with the first rows that do."""

    field: str
    model: str
    machine: str


def diff(model: KernelView, machine: KernelView) -> tuple[Difference, ...]:
    """Return where the views differ; empty when they say the same.

    Compared is what both engines can know: the source of the map, the maps as
    the kernel prints them (type 128 prints as usable before 6.18, so that it
    counts as RAM where the other side has RAM), the memory, and whether the
    boot went on.
    """
    differences = [_compare("map_source", [model.map_source], [machine.map_source])]
    lost = any("messages-lost" in view.warnings for view in (model, machine))
    names = [n for n in _MAPS if not (lost and n in _LOST_WITH_MESSAGES)]
    differences += [_compare(n, getattr(model, n), getattr(machine, n)) for n in names]
    if (model.fatal is None) != (machine.fatal is None):
        differences.append(
            Difference(
                field="fatal", model=str(model.fatal), machine=str(machine.fatal)
            )
        )
    elif model.memory and machine.memory:
        differences.append(_compare("memory", model.memory, machine.memory))
    return tuple(filter(None, differences))


def _compare(
    field: str, model: Iterable[object] | None, machine: Iterable[object] | None
) -> Difference | None:
    if model is None or machine is None:
        if model is machine:
            return None
        return Difference(field=field, model=_count(model), machine=_count(machine))
    for at, (mine, theirs) in enumerate(zip_longest(model, machine)):
        if not _same(mine, theirs):
            return Difference(
                field=f"{field}[{at}]", model=_shown(mine), machine=_shown(theirs)
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
