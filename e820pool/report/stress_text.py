"""Say in one table when entries run out, and for which policies never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.findings import counted
from e820pool.report.columns import columns
from e820pool.report.table import human_size
from e820pool.stress.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e820pool.stress.workload import Workload

__all__ = ("has_deposits", "stress_text")

_SHOWN = (
    "memmap-cmdline",
    "zero-page",
    "table-131",
    "capture-table",
    "table-320",
    "kexec-tools",
    "table-3200",
)
# The other limits are those of memmap= and of KASLR's choice.
_TOLD = ("entries", "table", "fragments")


def stress_text(
    results: Sequence[Mapping[str, Any]],
    workload: Workload,
    width: int | None = None,
) -> str:
    """Return the answer for people: a row a cell, a sentence a policy.

    ``width`` is what a line has room for, None for any.
    """
    told = [one for one in results if not one["reason"]]
    head = (
        f"{counted(workload.guests, 'guest')} of "
        f"{counted(workload.vps, 'processor')} for "
        f"{workload.days:g} days; the deposit call (guest) at which each limit falls"
    )
    parts = [head]
    if told:
        parts.append(
            columns(
                [_row(one) for one in told],
                ("host", "policy", "seed", *_SHOWN, "most", "given up for 128"),
                width=width,
            )
        )
    parts += [
        f"{_who(one)}: cannot be had: {one['reason']}"
        for one in results
        if one["reason"]
    ]
    parts += [_sentence(one) for one in told]
    return "\n".join(parts)


def _row(one: Mapping[str, Any]) -> list[str]:
    if not has_deposits(one):
        unknown = ["-"] * (len(_SHOWN) + 2)
        return [one["host"], one["policy"], str(one["seed"]), *unknown]
    falls = [_cell(one["limits"][name]) for name in _SHOWN]
    entries = one["peak"][one["encoding"]]
    lost = one["budgets"]["given_up"]["128"]
    return [
        one["host"],
        one["policy"],
        str(one["seed"]),
        *falls,
        str(entries),
        "does not fit" if lost is None else human_size(lost),
    ]


def _cell(fall: Mapping[str, Any] | None) -> str:
    return "never" if fall is None else f"{fall['call']} ({fall['created']})"


def _who(one: Mapping[str, Any]) -> str:
    return f"{one['policy']} on {one['host']} (seed {one['seed']})"


def _sentence(one: Mapping[str, Any]) -> str:
    end, remarks = one["end"], []
    if not has_deposits(one):
        return f"{_who(one)}: no answer: {_why_none(one)}"
    if one["failed_guests"]:
        asked = one["failed_guests"] + end["created"]
        remarks.append(f"{one['failed_guests']} of {asked} guests found no memory")
    if one["failed_calls"]:
        remarks.append(f"{one['failed_calls']} of {end['call']} deposits found no page")
    return f"{_who(one)}: {'; '.join((*remarks, _answer(one)))}"


def has_deposits(one: Mapping[str, Any]) -> bool:
    """Return whether a result rests on any deposit: without one it is no answer."""
    return bool(one["end"]["call"] > one["failed_calls"])


def _why_none(one: Mapping[str, Any]) -> str:
    if one["failed_calls"]:
        return f"none of {one['failed_calls']} deposits found a page"
    return (
        f"no guest found memory, {one['failed_guests']} times: it is taken from free "
        "blocks of 4 MiB; --guests and --ram-share make guests smaller"
    )


def _answer(one: Mapping[str, Any]) -> str:
    fallen = [
        (fall["call"], limit)
        for limit in LIMITS
        if limit.measure in _TOLD and (fall := one["limits"][limit.name]) is not None
    ]
    if not fallen:
        end = one["end"]
        return (
            f"never out of entries: at most {one['peak'][one['encoding']]} in "
            f"{counted(end['call'], 'call')}, {counted(end['created'], 'guest')}"
        )
    _, first = min(fallen, key=lambda pair: pair[0])
    fall = one["limits"][first.name]
    return (
        f"first {first.name} ({first.most}) after {counted(fall['call'], 'call')}, "
        "with guest "
        f"{fall['created']}, {human_size(fall['deposited_pages'] << 12)} deposited: "
        f"{first.meaning}"
    )
