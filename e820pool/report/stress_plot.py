"""Draw the curves of entries against deposits, for specifications and slides."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e820pool.errors import InputError
from e820pool.report.files import write_file
from e820pool.stress.limits import LIMITS
from e820pool.stress.outcome import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("FORMATS", "write_plot")

FORMATS = ("svg", "png", "pdf")
"""By the file's suffix."""

# Fixed, so that the same results give the same bytes.
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "e820pool",
    "svg.fonttype": "none",
    "figure.dpi": 100,
}
_LINES = ("zero-page", "table-320", "table-3200")


def write_plot(results: Sequence[Mapping[str, Any]], path: str) -> None:
    """Write the curves of all results, whole or not at all.

    Raises:
        InputError: matplotlib is not installed, the suffix names no format, or the
            file cannot be written.
    """
    form = Path(path).suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise InputError(f"{path!r} names no picture: want .{', .'.join(FORMATS)}")
    try:
        # An extra, and slow to import.
        mpl = import_module("matplotlib")
        figures = import_module("matplotlib.figure")
    except ImportError as exc:
        raise InputError("--plot needs matplotlib: install e820pool[plot]") from exc
    out = io.BytesIO()
    with mpl.rc_context(_SETTINGS):
        figure = figures.Figure(figsize=(9, 5), layout="constrained")
        _draw(figure.subplots(), results)
        figure.savefig(out, format=form, metadata=_metadata(form))
    write_file(path, out.getvalue())


# No date: the same results are the same file.
def _metadata(form: str) -> dict[str, None]:
    return {} if form == "png" else {"Date" if form == "svg" else "CreationDate": None}


def _draw(axes: Any, results: Sequence[Mapping[str, Any]]) -> None:
    call = Sample._fields.index("call")
    for one in results:
        samples = one.get("samples", ())
        entries = Sample._fields.index(one["encoding"])
        axes.plot(
            [sample[call] for sample in samples],
            [sample[entries] for sample in samples],
            label=f"{one['policy']}, {one['host']}, seed {one['seed']}",
            linewidth=1.2,
        )
    for limit in LIMITS:
        if limit.name in _LINES:
            axes.axhline(limit.most, color="0.6", linewidth=0.8, linestyle="--")
            axes.annotate(
                f"{limit.name} {limit.most}",
                xy=(1, limit.most),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
                color="0.4",
            )
    axes.set(xscale="log", yscale="log", xlabel="deposit calls", ylabel="e820 entries")
    axes.legend(fontsize=8)
