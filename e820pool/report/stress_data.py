"""Results of simulations as JSON and CSV, for other people's tools."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from e820pool.documents import document_text, value_to
from e820pool.report.chapters import BandDocument, ExhaustionDocument, RunDocument
from e820pool.stress.bands import bands_of
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
