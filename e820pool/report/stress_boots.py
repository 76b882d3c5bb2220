"""What real kernels showed beside the simulation: limits, shapes, measured deposits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from e820pool.documents import (
    Count,
    Document,
    Pair,
    Part,
    Positive,
    Quantity,
    document_text,
    value_to,
)
from e820pool.extents import PAGE_SHIFT
from e820pool.findings import counted
from e820pool.report.columns import columns
from e820pool.report.map_table import human_size
from e820pool.stress.bands import spread_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


__all__ = (
    "ComparedGuest",
    "ConfirmedBoot",
    "ConfirmedLimits",
    "KeptGuest",
    "MeasuredDeposits",
    "SearchedShape",
    "SearchedShapes",
    "TenthPoint",
    "confirm_json",
    "confirm_text",
    "measure_curves",
    "measure_json",
    "measure_text",
    "search_json",
    "search_text",
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
            "host": f"{_host(row)}, {counted(row['pages'], 'page')}",
            "policy": policy,
            "seeds": seeds,
            "encoding": "split",
            "curve": curve,
        }


class ConfirmedBoot(Part, frozen=True, kw_only=True):
    """A boot at a limit: what model and machine lose, and whether they agree.

    ``count`` of ``of`` were handed over in ``entries`` entries; ``agree`` is null, and
    ``error`` says why, where there is no answer; ``seconds`` is to user space.
    """

    kernel: str
    limit: str
    where: str
    count: Count
    of: str
    entries: Count
    model: tuple[str, ...]
    machine: tuple[str, ...]
    agree: bool | None
    differs: tuple[str, ...]
    seconds: Quantity | None
    error: str


class ConfirmedLimits(Document, frozen=True, kw_only=True, tag="confirmed-limits"):
    """Limits that real kernels were asked about, a boot each."""

    boots: tuple[ConfirmedBoot, ...]


def confirm_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Return a row a boot: what model and machine lose, and the time to user space.

    ``width`` is what a line has room for, None for any.
    """
    table = [
        (
            row["kernel"],
            row["limit"],
            row["where"],
            f"{row['count']} {row['of']}" if row["count"] else "-",
            _losses(row["model"], row["error"]),
            _losses(row["machine"], row["error"]),
            "-" if row["seconds"] is None else f"{row['seconds']:g} s",
            _agreement(row),
        )
        for row in rows
    ]
    headers = ("kernel", "limit", "where", "count", "model", "machine", "boot", "agree")
    return columns(table, headers, width=width)


def confirm_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON twin, kind ``confirmed-limits``."""
    boots = tuple(value_to(ConfirmedBoot, dict(row), "a boot") for row in rows)
    return document_text(ConfirmedLimits(boots=boots))


def _losses(ids: Sequence[str], error: str) -> str:
    return "?" if error else ", ".join(ids) or "nothing lost"


def _agreement(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"no verdict: {row['error']}"
    return "yes" if row["agree"] else " ".join(("NO", *row["differs"]))


class SearchedShape(Part, frozen=True, kw_only=True):
    """A shape, see :class:`e820pool.stress.search.Shape`, and what a kernel made of it.

    ``failure`` is "" where it survived; ``reproducer`` are the fewest deposits that
    fail in the same way.
    """

    kernel: str
    number: Count
    first_pfn: Count
    nr_deposits: Count
    nr_pages: Count
    gap: Count
    failure: str
    reproducer: tuple[Pair, ...]


class SearchedShapes(Document, frozen=True, kw_only=True, tag="searched-shapes"):
    """Shapes of deposits that kernels were asked about."""

    shapes: tuple[SearchedShape, ...]


def search_text(shapes: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a failure with its smallest reproducer, and a line in all."""
    lines = []
    for shape in shapes:
        if shape["failure"]:
            deposits = " ".join(
                f"--deposit {base << PAGE_SHIFT:#x}+{count << PAGE_SHIFT:#x}"
                for base, count in shape["reproducer"]
            )
            lines.append(f"{shape['kernel']}: {shape['failure']}: {deposits}")
    lines.append(f"{len(shapes)} shapes booted, {len(lines)} not survived")
    return "\n".join(lines)


def search_json(shapes: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON twin, kind ``searched-shapes``; reproducers in pages."""
    rows = tuple(value_to(SearchedShape, dict(shape), "a shape") for shape in shapes)
    return document_text(SearchedShapes(shapes=rows))
