"""When entries run out, and for which policies never, in one table."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from e820pool.documents import document_text, value_to
from e820pool.findings import counted
from e820pool.report.chapters import BandDocument, ExhaustionDocument, RunDocument
from e820pool.report.columns import columns
from e820pool.report.map_table import human_size
from e820pool.stress.bands import bands_of, has_deposits
from e820pool.stress.limits import LIMITS, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e820pool.stress.workload import Workload


__all__ = (
    "stress_csv",
    "stress_json",
    "stress_text",
)

_SHOWN = (
    "memmap-cmdline",
    "zero-page",
    "table-131",
    "capture-table",
    "table-320",
    "kexec-tools",
    "table-3200",
)
_HEADERS = (
    *("host", "policy", "seed", *_SHOWN, "most"),
    *("given up for 128", "beside deposits", "scattered"),
)
# The other limits are those of memmap= and of KASLR's choice.
_TOLD = ("entries", "table", "fragments")


def stress_text(
    results: Sequence[Mapping[str, Any]],
    workload: Workload,
    width: int | None = None,
) -> str:
    """Return the answer for people: a row and a sentence a policy, over all seeds.

    ``width`` is what a line has room for, None for any.
    """
    bands = bands_of(results)
    days = "day" if workload.days == 1 else "days"
    head = (
        f"{counted(workload.guests, 'guest')} of "
        f"{counted(workload.vps, 'processor')} for "
        f"{workload.days:g} {days}; the deposit call (guest) at which each limit falls"
    )
    if any(len(band["seeds"]) > 1 for band in bands):
        head += ", least and most over the seeds"
    parts = [head]
    groups = [[run for run in results if _key(run) == _key(band)] for band in bands]
    answered = [
        (band, group)
        for band, group in zip(bands, groups, strict=True)
        if not all(run["reason"] for run in group)
    ]
    if answered:
        rows = [_row(band, group) for band, group in answered]
        parts.append(columns(rows, _HEADERS, width=width))
    for band, group in zip(bands, groups, strict=True):
        parts += _not_had(band, group)
    parts += [_sentence(band, group) for band, group in answered]
    if any(band["beside"]["high"] for band in bands):
        parts.append(
            "beside deposits: RAM that is RESERVED at the end and not deposited; "
            "scattered: the entries of scattered deposits that give up as much"
        )
    return "\n".join(parts)


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["host"], row["policy"]


def _row(band: Mapping[str, Any], group: Sequence[Mapping[str, Any]]) -> list[str]:
    seeds = [run["seed"] for run in group if not run["reason"]]
    named = [band["host"], band["policy"], _seeds(seeds)]
    if not band["answered"]:
        return [*named, *["-"] * (len(_HEADERS) - len(named))]
    falls = [_cell(band["limits"][name]) for name in _SHOWN]
    sizes = [_sizes(band["given_up"]["128"]), _sizes(band["beside"])]
    return [*named, *falls, _range(band["most"]), *sizes, _range(band["as_scattered"])]


# Seeds that follow each other are one run; of a thousand hosts some runs are enough.
_MOST_RUNS = 6


def _seeds(seeds: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    ends = [(run[0], run[-1]) for run in runs[:_MOST_RUNS]]
    named = [str(a) if a == b else f"{a}-{b}" for a, b in ends]
    more = sum(map(len, runs[_MOST_RUNS:]))
    return ",".join(named) + (f" and {more} more" if more else "")


def _cell(falls: Mapping[str, Any]) -> str:
    if not falls["fell"]:
        return "never"
    return f"{_range(falls['call'], 'never')} ({_range(falls['created'])})"


# With a noun where the answer is a sentence.
def _counted(spread: Mapping[str, Any], noun: str) -> str:
    low, high = spread["low"], spread["high"]
    return counted(low, noun) if low == high else f"{low} to {counted(high, noun)}"


def _range(spread: Mapping[str, Any], beyond: str = "-", join: str = "-") -> str:
    low, high = (
        beyond if spread[end] is None else str(spread[end]) for end in ("low", "high")
    )
    return low if low == high else f"{low}{join}{high}"


def _sizes(spread: Mapping[str, Any]) -> str:
    low, high = (
        "does not fit" if spread[end] is None else human_size(spread[end])
        for end in ("low", "high")
    )
    return low if low == high else f"{low} - {high}"


def _who(band: Mapping[str, Any], seeds: Sequence[int]) -> str:
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"{band['policy']} on {band['host']} ({word} {_seeds(seeds)})"


def _not_had(band: Mapping[str, Any], group: Sequence[Mapping[str, Any]]) -> list[str]:
    without = [run for run in group if run["reason"]]
    if not without:
        return []
    who = _who(band, [run["seed"] for run in without])
    return [f"{who}: cannot be had: {without[0]['reason']}"]


def _sentence(band: Mapping[str, Any], group: Sequence[Mapping[str, Any]]) -> str:
    had = [run for run in group if not run["reason"]]
    who = _who(band, [run["seed"] for run in had])
    none = [run for run in had if not has_deposits(run)]
    if len(none) == len(had):
        return f"{who}: no answer: {_why_none(had)}"
    remarks = []
    if none:
        remarks.append(f"no answer with seed {_seeds([run['seed'] for run in none])}")
    if failed := sum(run["failed_guests"] for run in had):
        tried = failed + sum(run["end"]["created"] for run in had)
        remarks.append(f"{failed} of {tried} guests found no memory")
    if failed := sum(run["failed_calls"] for run in had):
        tried = sum(run["end"]["call"] for run in had)
        remarks.append(f"{failed} of {tried} deposits found no page")
    return f"{who}: {'; '.join((*remarks, _answer(band)))}"


def _why_none(had: Sequence[Mapping[str, Any]]) -> str:
    if failed := sum(run["failed_calls"] for run in had):
        return f"none of {failed} deposits found a page"
    return (
        f"no guest found memory, {sum(run['failed_guests'] for run in had)} times: "
        "--guests and --ram-share make guests smaller"
    )


def _answer(band: Mapping[str, Any]) -> str:
    fallen = [
        (falls["call"]["low"], limit)
        for limit in LIMITS
        if limit.measure in _TOLD and (falls := band["limits"][limit.name])["fell"]
    ]
    most = (
        f"at most {_range(band['most'], join=' to ')} in "
        f"{_counted(band['calls'], 'call')}, {_counted(band['guests'], 'guest')}"
    )
    if not fallen:
        return f"never out of entries: {most}"
    _, first = min(fallen, key=lambda pair: pair[0])
    falls = band["limits"][first.name]
    pages = falls["deposited_pages"]
    sizes = dict.fromkeys(human_size(pages[end] << 12) for end in ("low", "high"))
    call, answered = falls["call"], len(band["answered"])
    if survivors := answered - falls["fell"]:
        calls = f"{counted(call['low'], 'call')} and more (never with {survivors} of "
        calls += f"{answered} seeds)"
    else:
        calls = _counted(call, "call")
    return (
        f"first {first.name} ({first.most}) after {calls}, with guest "
        f"{_range(falls['created'], join=' to ')}, {' to '.join(sizes)} deposited: "
        f"{first.meaning}"
    )


_NAMED = ("host", "policy", "seed", "encoding")


def stress_json(results: Sequence[Mapping[str, Any]], workload: Workload) -> str:
    """Return the document of kind ``exhaustion``.

    ``limits`` of a result has null where a limit never fell; ``samples`` are rows
    with the fields that ``sample_fields`` names. ``bands`` has what the seeds of a
    policy say together.
    """
    return document_text(
        ExhaustionDocument(
            workload=asdict(workload),
            limits=LIMITS,
            sample_fields=Sample._fields,
            results=tuple(
                value_to(RunDocument, result, "a result") for result in results
            ),
            bands=tuple(
                value_to(BandDocument, band, "a band") for band in bands_of(results)
            ),
        )
    )


def stress_csv(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the curves: a line a sample, with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_NAMED, *Sample._fields))
    for result in results:
        for sample in result.get("samples", ()):
            writer.writerow((*(result[name] for name in _NAMED), *sample))
    return out.getvalue()
