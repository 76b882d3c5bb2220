"""What several seeds say together: a band for each policy on each host."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

from e820pool.extents import PAGE_SHIFT
from e820pool.stress.limits import LIMITS, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Result = Mapping[str, Any]

__all__ = ("Spread", "bands_of", "has_deposits", "spread_of")

# The policy of today's driver, with which the others are compared.
_TODAY = "scattered"
_CALL = Sample._fields.index("call")


class Spread(NamedTuple):
    """The least, the median and the most of some seeds; None is beyond all."""

    low: int | None
    middle: int | None
    high: int | None


def spread_of(values: Iterable[int | None]) -> Spread:
    """Return the spread of values, of which None stands for never or for too much."""
    ordered = sorted(values, key=lambda value: (value is None, value or 0))
    if not ordered:
        return Spread(None, None, None)
    return Spread(ordered[0], ordered[len(ordered) // 2], ordered[-1])


def has_deposits(result: Result) -> bool:
    """Return whether a result rests on any deposit: without one it is no answer."""
    return not result["reason"] and bool(result["end"]["call"] > result["failed_calls"])


def bands_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a band for each host and policy, in the order of the results.

    Args:
        results: of :func:`e820pool.stress.cells.run_cell`, of any seeds.
    """
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        key = result["host"], result["policy"], result["encoding"]
        groups.setdefault(key, []).append(result)
    today = {
        (result["host"], result["encoding"], result["seed"]): result["budgets"][
            "choices"
        ]
        for result in results
        if result["policy"] == _TODAY and has_deposits(result)
    }
    return [_band(key, group, today) for key, group in groups.items()]


def _band(
    key: tuple[str, str, str],
    group: Sequence[Result],
    today: Mapping[tuple[str, str, int], Sequence[Sequence[int]]],
) -> dict[str, Any]:
    host, policy, encoding = key
    answered = [result for result in group if has_deposits(result)]

    def spread(value: Callable[[Result], int | None]) -> dict[str, int | None]:
        return spread_of(value(result) for result in answered)._asdict()

    budgets = answered[0]["budgets"]["given_up"] if answered else {}
    return {
        "host": host,
        "policy": policy,
        "encoding": encoding,
        "seeds": [result["seed"] for result in group],
        "answered": [result["seed"] for result in answered],
        "limits": {limit.name: _falls(limit.name, answered) for limit in LIMITS},
        "most": spread(lambda result: result["peak"][encoding]),
        "calls": spread(lambda result: result["end"]["call"]),
        "guests": spread(lambda result: result["end"]["created"]),
        "given_up": {
            name: spread(lambda result, at=name: result["budgets"]["given_up"][at])  # type: ignore[misc]
            for name in budgets
        },
        "beside": spread(_beside),
        "as_scattered": spread_of(
            _entries_within(today[host, encoding, result["seed"]], _beside(result))
            for result in answered
            if (host, encoding, result["seed"]) in today
        )._asdict(),
        "curve": _curve(answered, encoding),
    }


# Bytes that are RESERVED at the end without being deposited.
def _beside(result: Result) -> int:
    pages = result["end"]["reserved_pages"] - result["end"]["deposited_pages"]
    return int(pages) << PAGE_SHIFT


def _entries_within(choices: Sequence[Sequence[int]], nr_bytes: int) -> int:
    return min(entries for entries, given_up in choices if given_up <= nr_bytes)


# Guest and pages are of the seeds with which the limit falls.
def _falls(limit: str, answered: Sequence[Result]) -> dict[str, Any]:
    falls = [result["limits"][limit] for result in answered]
    fallen = [fall for fall in falls if fall is not None]
    return {
        "fell": len(fallen),
        "call": spread_of(fall and fall["call"] for fall in falls)._asdict(),
        **{
            name: spread_of(fall[name] for fall in fallen)._asdict()
            for name in ("created", "deposited_pages")
        },
    }


# At the samples of the seed with the most calls; one that has ended stays as it was.
def _curve(answered: Sequence[Result], encoding: str) -> list[list[int]]:
    at = Sample._fields.index(encoding)
    curves = [
        (
            [row[_CALL] for row in result["samples"]],
            [row[at] for row in result["samples"]],
        )
        for result in answered
    ]
    grid = max((calls for calls, _ in curves), key=lambda calls: calls[-1], default=[])
    rows = []
    for call in dict.fromkeys(grid):
        values = sorted(
            entries[max(bisect_right(calls, call) - 1, 0)] for calls, entries in curves
        )
        rows.append([int(call), values[0], values[len(values) // 2], values[-1]])
    return rows
