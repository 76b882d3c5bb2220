"""Read the curves of a stress run back from JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from e820pool.errors import BadImageError
from e820pool.report.results.model import Curve, ExhaustionChapter, Fall
from e820pool.stress.limits import Limit, Measure

if TYPE_CHECKING:
    from e820pool.sources.json_fields import Fields

__all__ = ("exhaustion_chapter",)

_MEASURES = get_args(Measure)
_ENCODINGS = ("split", "hybrid")
_BUDGET = "128"


def exhaustion_chapter(found: Fields, origin: str) -> ExhaustionChapter:
    """Return the chapter of a document of kind ``exhaustion``."""
    workload = found.part("workload")
    fields = found.texts("sample_fields")
    limits = tuple(_limit(one) for one in found.parts("limits"))
    names = tuple(one.name for one in limits)
    return ExhaustionChapter(
        origin=origin,
        workload=tuple((key, f"{workload.real(key):.10g}") for key in workload.values),
        limits=limits,
        curves=tuple(_curve(one, fields, names) for one in found.parts("results")),
    )


def _limit(found: Fields) -> Limit:
    return Limit(
        name=found.text("name"),
        measure=cast("Measure", found.word("measure", _MEASURES)),
        most=found.count("most"),
        meaning=found.text("meaning"),
        source=found.text("source"),
    )


def _curve(found: Fields, fields: tuple[str, ...], limits: tuple[str, ...]) -> Curve:
    encoding = found.word("encoding", _ENCODINGS)
    host, policy, seed = found.text("host"), found.text("policy"), found.count("seed")
    reason = found.text("reason")
    if reason:
        return Curve(
            host=host, policy=policy, seed=seed, encoding=encoding, reason=reason
        )
    end, given_up = found.part("end"), found.part("budgets").part("given_up")
    return Curve(
        host=host,
        policy=policy,
        seed=seed,
        encoding=encoding,
        points=_points(found, fields, encoding),
        falls=_falls(found.part("limits"), limits),
        most=found.part("peak").count(encoding),
        calls=end.count("call"),
        guests=end.count("created"),
        failed_calls=found.count("failed_calls"),
        given_up=given_up.count(_BUDGET) if given_up.has(_BUDGET) else None,
    )


def _points(
    found: Fields, fields: tuple[str, ...], encoding: str
) -> tuple[tuple[int, int], ...]:
    columns = []
    for name in ("call", encoding):
        if name not in fields:
            raise BadImageError(f"{found.where}: sample_fields has no {name!r}")
        columns.append(fields.index(name))
    rows = [_numbers(found, at, columns) for at in range(len(found.items("samples")))]
    return tuple(rows)


def _numbers(found: Fields, at: int, columns: list[int]) -> tuple[int, int]:
    row, where = found.items("samples")[at], f"{found.where}: samples[{at}]"
    if not isinstance(row, list) or len(row) <= max(columns):
        raise BadImageError(f"{where} is no row with {max(columns) + 1} fields")
    call, entries = (row[column] for column in columns)
    for value in (call, entries):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadImageError(f"{where} holds {value!r}, no count")
    return call, entries


def _falls(found: Fields, limits: tuple[str, ...]) -> tuple[tuple[str, Fall], ...]:
    fallen = ((name, found.part(name)) for name in limits if found.has(name))
    return tuple(
        (
            name,
            Fall(
                call=one.count("call"),
                guest=one.count("created"),
                nr_pages=one.count("deposited_pages"),
            ),
        )
        for name, one in fallen
    )
