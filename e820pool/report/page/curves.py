"""Exhaustion curves as points of a plot, both axes logarithmic."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, NamedTuple

from e820pool.report.summary import curve_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.report.chapters import CurvePoint, ExhaustionDocument, RunDocument
    from e820pool.stress.limits import Limit

__all__ = ("LINES", "Chart", "Line", "Mark", "charts_of")

LINES = 12
"""Curves in one chart at most: more cannot be told apart."""

# Colours, and dashes, that the page has.
_STYLES = 6

# Units of the plot's own square, which the page stretches.
_SIDE = 1000
# What limits entries, and is worth a line of its own.
_MEASURES = ("entries", "table")
_POINTS = 400
# Of the axis, so that two labels do not lie over each other.
_APART = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A tick or a limit: percent along its axis, and what it is called."""

    at: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A curve: the points of a polyline, its look and its words.

    Attributes:
        hue: a policy's number: its runs have one colour.
        dash: of runs next to each other, a different one.
        letter: stands on the curve and in the legend, for eyes that see no hue.
        x, y: where the letter stands.
    """

    points: str
    hue: int
    dash: int
    letter: str
    x: str
    y: str
    is_dot: bool
    label: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One host's curves; ``nr_left_out`` are in the table only."""

    host: str
    lines: tuple[Line, ...]
    limits: tuple[Mark, ...]
    calls: tuple[Mark, ...]
    entries: tuple[Mark, ...]
    nr_left_out: int


class _Curve(NamedTuple):
    run: RunDocument
    points: tuple[CurvePoint, ...]


def charts_of(chapter: ExhaustionDocument) -> tuple[Chart, ...]:
    """Return a chart for each host that has a curve."""
    hosts: dict[str, list[_Curve]] = {}
    for run in chapter.results:
        if run.samples:
            curve = _Curve(run, chapter.points_of(run))
            hosts.setdefault(run.host, []).append(curve)
    for curves in hosts.values():
        # Every policy is drawn before a second seed of any.
        seeds: Counter[str] = Counter()
        places = {}
        for curve in curves:
            places[id(curve)] = seeds[curve.run.policy]
            seeds[curve.run.policy] += 1
        curves.sort(key=lambda curve: places[id(curve)])
    return tuple(_chart(chapter, host, curves) for host, curves in hosts.items())


def _chart(chapter: ExhaustionDocument, host: str, curves: list[_Curve]) -> Chart:
    shown = curves[:LINES]
    x = _Axis(1, max(call for curve in shown for call, _ in curve.points))
    values = [max(entries, 1) for curve in shown for _, entries in curve.points]
    near = [limit for limit in chapter.limits if limit.measure in _MEASURES]
    top = max(values)
    # The limit above the highest curve tells how far it is.
    over = min((limit.most for limit in near if limit.most > top), default=top)
    y = _Axis(min(values), over)
    return Chart(
        host=host,
        lines=tuple(_lines(shown, x, y, chapter)),
        limits=_limits(near, y),
        calls=tuple(Mark(at=x.percent(n), label=f"{n:,}") for n in x.decades()),
        entries=tuple(Mark(at=y.percent_down(n), label=f"{n:,}") for n in y.decades()),
        nr_left_out=len(curves) - len(shown),
    )


# Limits that lie on top of each other share a line.
def _limits(near: list[Limit], y: _Axis) -> tuple[Mark, ...]:
    groups: list[list[Limit]] = []
    for limit in sorted(near, key=lambda limit: limit.most):
        if not y.low <= limit.most <= y.high:
            continue
        if groups and y.share(limit.most) - y.share(groups[-1][0].most) < _APART:
            groups[-1].append(limit)
        else:
            groups.append([limit])
    return tuple(
        Mark(
            at=y.percent_down(group[-1].most),
            label=", ".join(f"{limit.name} {limit.most}" for limit in group),
        )
        for group in groups
    )


def _lines(
    curves: list[_Curve], x: _Axis, y: _Axis, chapter: ExhaustionDocument
) -> Iterator[Line]:
    policies = list(dict.fromkeys(curve.run.policy for curve in curves))
    runs: dict[str, int] = {}
    for number, curve in enumerate(curves):
        hue = policies.index(curve.run.policy)
        run = runs[curve.run.policy] = runs.get(curve.run.policy, -1) + 1
        # Each letter at a share of its own, so that they keep apart where curves meet.
        call, entries = _point_at(curve, x, (number + 1) / (len(curves) + 1))
        yield Line(
            points=_polyline(curve, x, y),
            hue=hue % _STYLES,
            dash=(hue + run) % _STYLES,
            letter=ascii_uppercase[number],
            x=x.percent(call),
            y=y.percent_down(entries),
            is_dot=len(curve.points) == 1,
            label=f"{curve.run.policy}, seed {curve.run.seed}",
            title=curve_sentence(curve.run, chapter),
        )


def _point_at(curve: _Curve, x: _Axis, share: float) -> CurvePoint:
    return min(curve.points, key=lambda point: abs(x.share(point.call) - share))


def _polyline(curve: _Curve, x: _Axis, y: _Axis) -> str:
    step = max(1, math.ceil(len(curve.points) / _POINTS))
    # A lone point is a line of no length, which its round ends make a dot.
    kept = [*(curve.points[:-1:step] or curve.points), curve.points[-1]]
    return " ".join(
        f"{_SIDE * x.share(call):.1f},{_SIDE * (1 - y.share(entries)):.1f}"
        for call, entries in kept
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    # From `low` to `high`, by logarithm; a lone value stands in the middle.
    low: int
    high: int

    def share(self, value: int) -> float:
        low, high = math.log10(max(self.low, 1)), math.log10(max(self.high, 1))
        if high <= low:
            return 0.5
        at = (math.log10(max(value, 1)) - low) / (high - low)
        return min(max(at, 0.0), 1.0)

    def percent(self, value: int) -> str:
        return f"{100 * self.share(value):.2f}%"

    def percent_down(self, value: int) -> str:
        return f"{100 * (1 - self.share(value)):.2f}%"

    def decades(self) -> Iterator[int]:
        # 1, 2, 5, 10 ... while they are few, else powers of ten.
        steps = (1, 2, 5) if self.high < 100 * max(self.low, 1) else (1,)
        power = 1
        while power <= self.high:
            yield from (
                step * power for step in steps if self.low <= step * power <= self.high
            )
            power *= 10
