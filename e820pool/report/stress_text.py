"""Say in one table when entries run out, and for which policies never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from e820pool.stress.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e820pool.stress.workload import Workload

__all__ = ("size_text", "stress_text")

_SHOWN = (
    "memmap-cmdline",
    "zero-page",
    "table-131",
    "table-320",
    "kexec-tools",
    "table-3200",
)
_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def stress_text(results: Sequence[Mapping[str, Any]], workload: Workload) -> str:
    """Return the answer for people: a row a cell, a sentence a policy."""
    told = [one for one in results if not one["reason"]]
    head = (
        f"{workload.guests} guests of {workload.vps} processors for "
        f"{workload.days:g} days; the deposit call (guest) at which each limit falls"
    )
    parts = [head]
    if told:
        parts.append(
            tabulate(
                [_row(one) for one in told],
                headers=("host", "policy", "seed", *_SHOWN, "most", "given up for 128"),
                tablefmt="plain",
                disable_numparse=True,
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
    falls = [_cell(one["limits"][name]) for name in _SHOWN]
    entries = one["peak"][one["encoding"]]
    lost = one["budgets"]["given_up"]["128"]
    return [
        one["host"],
        one["policy"],
        str(one["seed"]),
        *falls,
        str(entries),
        "does not fit" if lost is None else size_text(lost),
    ]


def _cell(fall: Mapping[str, Any] | None) -> str:
    return "never" if fall is None else f"{fall['call']} ({fall['created']})"


def _who(one: Mapping[str, Any]) -> str:
    return f"{one['policy']} on {one['host']} (seed {one['seed']})"


def _sentence(one: Mapping[str, Any]) -> str:
    fallen = [
        (fall["call"], limit)
        for limit in LIMITS
        if limit.measure in ("entries", "table")
        and (fall := one["limits"][limit.name]) is not None
    ]
    end = one["end"]
    if not fallen:
        text = (
            f"never out of entries: at most {one['peak'][one['encoding']]} in "
            f"{end['call']} calls, {end['created']} guests"
        )
    else:
        _, first = min(fallen, key=lambda pair: pair[0])
        fall = one["limits"][first.name]
        text = (
            f"first {first.name} ({first.most}) after {fall['call']} calls, with guest "
            f"{fall['created']}, {size_text(fall['deposited_pages'] << 12)} deposited: "
            f"{first.meaning}"
        )
    if one["failed_calls"]:
        failed = f"{one['failed_calls']} of {end['call']} deposits found no page"
        text = f"{failed}; {text}"
    return f"{_who(one)}: {text}"


def size_text(nr_bytes: int) -> str:
    """Return bytes in the largest binary unit that they fill."""
    for unit, name in _UNITS:
        if nr_bytes >= unit:
            return f"{nr_bytes / unit:.3g} {name}"
    return f"{nr_bytes} B"
