"""Results of simulations as JSON and CSV, for other people's tools."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from e820pool.report.jsons import document, json_text
from e820pool.stress.limits import LIMITS
from e820pool.stress.outcome import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e820pool.stress.workload import Workload

__all__ = ("stress_csv", "stress_json")

_NAMED = ("host", "policy", "seed", "encoding")


def stress_json(results: Sequence[Mapping[str, Any]], workload: Workload) -> str:
    """Return the document of kind ``exhaustion``.

    ``limits`` of a result has null where a limit never fell; ``samples`` are rows
    with the fields that ``sample_fields`` names.
    """
    return json_text(
        document(
            "exhaustion",
            workload=asdict(workload),
            limits=[asdict(limit) for limit in LIMITS],
            sample_fields=list(Sample._fields),
            results=[dict(one) for one in results],
        )
    )


def stress_csv(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the curves: a line a sample, with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_NAMED, *Sample._fields))
    for one in results:
        for sample in one.get("samples", ()):
            writer.writerow((*(one[name] for name in _NAMED), *sample))
    return out.getvalue()
