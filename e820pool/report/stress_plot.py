"""Draw the curves of entries against deposits, for specifications and slides."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e820pool.errors import InputError, missing_package
from e820pool.report.output import write_file
from e820pool.stress.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e820pool.stress.limits import Limit

__all__ = ("FORMATS", "write_plot")

FORMATS = ("svg", "png", "pdf")
"""By the file's suffix."""

# Fixed, so that the same results give the same bytes.
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "e820pool",
    "svg.fonttype": "none",
    "figure.dpi": 100,
}
_LINES = ("zero-page", "table-320", "kexec-tools", "table-3200")
_NAMED = ("host", "encoding")
_COLUMNS = 4


def write_plot(
    bands: Sequence[Mapping[str, Any]], path: str, *, by_pairs: bool = False
) -> None:
    """Write the curves of all bands, whole or not at all.

    Args:
        bands: of :func:`e820pool.stress.bands.bands_of`: the median is a line, what
            lies between the least and the most of the seeds is shaded.
        path: of the picture.
        by_pairs: two bands each are of one host, and have a panel of their own where
            there are more than one pair.

    Raises:
        MachineError: matplotlib is not installed.
        InputError: the suffix names no format, or the
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
        raise missing_package("--plot", "matplotlib") from exc
    out = io.BytesIO()
    with mpl.rc_context(_SETTINGS):
        if by_pairs and len(bands) > 2:
            figure = _panels(figures, bands)
        else:
            figure = figures.Figure(figsize=(9, 5), layout="constrained")
            _draw(figure.subplots(), bands)
        figure.savefig(out, format=form, metadata=_metadata(form))
    write_file(path, out.getvalue())


# No date: the same results are the same file.
def _metadata(form: str) -> dict[str, None]:
    return {} if form == "png" else {"Date" if form == "svg" else "CreationDate": None}


def _panels(figures: Any, bands: Sequence[Mapping[str, Any]]) -> Any:
    rows = -(-len(bands) // (2 * _COLUMNS))
    figure = figures.Figure(figsize=(12, 2 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flat
    most = next(limit.most for limit in LIMITS if limit.name == _LINES[0])
    for at, axes in enumerate(grid):
        pair = bands[2 * at : 2 * at + 2]
        axes.set_visible(bool(pair))
        for number, band in enumerate(pair):
            if band["curve"]:
                _plot(axes, band, band["policy"], f"C{number}")
        if pair:
            axes.set_title(pair[0]["host"], fontsize=7)
            axes.axhline(most, color="0.6", linewidth=0.8, linestyle="--")
            axes.tick_params(labelsize=7)
            _scale(axes)
    figure.supxlabel("deposit calls", fontsize=9)
    figure.supylabel(f"e820 entries (dashed: {most})", fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _draw(axes: Any, bands: Sequence[Mapping[str, Any]]) -> None:
    drawn = [band for band in bands if band["curve"]]
    varying = [name for name in _NAMED if len({band[name] for band in drawn}) > 1]
    for number, band in enumerate(drawn):
        _plot(axes, band, _label(band, varying), f"C{number % 10}")
    for limit in LIMITS:
        if limit.name in _LINES:
            _mark(axes, limit)
    axes.set(xlabel="deposit calls", ylabel="e820 entries")
    axes.set_title(_title(drawn, varying), fontsize=10)
    _scale(axes)
    if drawn:
        axes.legend(fontsize=8)


def _scale(axes: Any) -> None:
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")


def _plot(axes: Any, band: Mapping[str, Any], label: str, color: str) -> None:
    # A log axis has no place for the value 0.
    columns = zip(*(row for row in band["curve"] if row[0]), strict=True)
    calls, low, middle, high = columns
    if low != high:
        axes.fill_between(calls, low, high, color=color, alpha=0.2, linewidth=0)
    axes.plot(calls, middle, label=label, color=color, linewidth=1.2)


def _mark(axes: Any, limit: Limit) -> None:
    axes.axhline(limit.most, color="0.6", linewidth=0.8, linestyle="--")
    axes.annotate(
        f"{limit.most} ({limit.name})",
        xy=(1, limit.most),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8,
        color="0.4",
    )


# What differs is in the legend, what does not in the title; seeds are in neither.
def _label(band: Mapping[str, Any], varying: Sequence[str]) -> str:
    words = [band["policy"]] + ([band["host"]] if "host" in varying else [])
    return ", ".join(words)


def _title(drawn: Sequence[Mapping[str, Any]], varying: Sequence[str]) -> str:
    if not drawn:
        return "no simulation has an outcome"
    first, words = drawn[0], []
    if "host" not in varying:
        words.append(f"host {first['host']}")
    seeds = sorted({seed for band in drawn for seed in band["seeds"]})
    words.append(
        f"seed {seeds[0]}"
        if len(seeds) == 1
        else f"median and range of {len(seeds)} seeds"
    )
    if "encoding" not in varying:
        words.append(f"encoding {first['encoding']}")
    return "entries of the next kernel's table: " + ", ".join(words)
