"""Measured deposits beside simulated ones, as a table, as JSON and as curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from e820pool.documents import (
    Count,
    Document,
    Part,
    Positive,
    document_text,
    value_to,
)
from e820pool.findings import counted
from e820pool.report.columns import columns
from e820pool.report.table import human_size
from e820pool.stress.bands import spread_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = (
    "ComparedGuest",
    "KeptGuest",
    "MeasuredDeposits",
    "TenthPoint",
    "measure_curves",
    "measure_json",
    "measure_text",
)


class KeptGuest(Part, frozen=True, kw_only=True):
    """What is kept of a guest that was aged and has deposited.

    ``before`` and ``steps`` are lines of files of /proc, ``orders`` how many blocks of
    each order it got, ``entries`` rows ``[call, entries]``, ``ended`` why it stopped.
    """

    kernel: str
    ram_bytes: Count
    age: str
    policy: str = "scattered"
    nodes: Positive = 1
    pages: Count
    calls: Count
    ended: Literal["calls", "share", "memory", "sockets"]
    free_pages: Count
    left_pages: Count
    orders: tuple[Count, ...] = ()
    before: dict[str, tuple[str, ...]]
    steps: dict[str, tuple[str, ...]]
    entries: tuple[tuple[Positive, Positive], ...]


class TenthPoint(Part, frozen=True, kw_only=True):
    """Both curves at a tenth of the calls; ``error`` is the median's, as a share."""

    call: Count
    measured: Count
    low: Count
    middle: Count
    high: Count
    error: float


class ComparedGuest(KeptGuest, frozen=True, kw_only=True):
    """The same with the simulation, a curve a seed."""

    tenths: tuple[TenthPoint, ...]
    within_15_percent: Count
    within_band: Count
    simulated: tuple[tuple[tuple[Count, Count], ...], ...]


class MeasuredDeposits(Document, frozen=True, kw_only=True, tag="measured-deposits"):
    """Guests that deposited, each beside its simulation."""

    guests: tuple[ComparedGuest, ...]


def measure_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Return a table for each guest: both curves and the error at each tenth.

    ``width`` is what a line has room for, None for any.
    """
    parts = [_one_text(row, width) for row in rows]
    if len(rows) > 1:
        points = [point for row in rows for point in row["tenths"]]
        within, between = (
            sum(row[name] for row in rows)
            for name in ("within_15_percent", "within_band")
        )
        mean = sum(point["error"] for point in points) / max(len(points), 1)
        parts.append(
            f"{len(rows)} guests: within 15 % {within} of {len(points)}, between the "
            f"seeds {between} of {len(points)}; mean error {mean:+.0%}"
        )
    return "\n\n".join(parts)


def measure_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON twin, kind ``measured-deposits``."""
    guests = tuple(value_to(ComparedGuest, dict(row), "a guest") for row in rows)
    return document_text(MeasuredDeposits(guests=guests))


def measure_curves(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the curves as bands of ``stress``, for its plot."""
    return [curve for row in rows for curve in _curves(row)]


def _one_text(row: Mapping[str, Any], width: int | None) -> str:
    head = (
        f"{_host(row)}: {counted(row['calls'], 'call')} of "
        f"{counted(row['pages'], 'page')}, "
        f"{human_size(row['calls'] * row['pages'] << 12)} of "
        f"{human_size(row['free_pages'] << 12)} that were free ({_END[row['ended']]})"
    )
    table = [
        (
            point["call"],
            point["measured"],
            point["middle"],
            f"{point['low']} to {point['high']}",
            f"{point['error']:+.0%}",
        )
        for point in row["tenths"]
    ]
    headers = ("call", "measured", "simulated", "seeds", "error")
    shown = columns(table, headers, width=width)
    return (
        f"{head}\n{shown}\nwithin 15 %: {row['within_15_percent']} of {len(table)}; "
        f"between the seeds: {row['within_band']} of {len(table)}"
    )


_END = {
    "calls": "as many calls as asked for",
    "share": "as much as asked for",
    "memory": "no page could be had",
    "sockets": "the guest had no more sockets",
}


def _host(row: Mapping[str, Any]) -> str:
    name = Path(row["kernel"]).name
    nodes = f", {row['nodes']} nodes" if row["nodes"] > 1 else ""
    policy = "" if row["policy"] == "scattered" else f", {row['policy']}"
    return f"{name}, {human_size(row['ram_bytes'])}, {row['age']}{nodes}{policy}"


def _curves(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    seeds = list(range(len(row["simulated"])))
    simulated = [
        [points[0][0], *spread_of(entries for _, entries in points)]
        for points in zip(*row["simulated"], strict=False)
    ]
    measured = [[call, *[entries] * 3] for call, entries in row["entries"]]
    for policy, curve in (("measured", measured), ("simulated", simulated)):
        yield {
            "host": _host(row),
            "policy": policy,
            "seeds": seeds,
            "encoding": "split",
            "curve": curve,
        }
