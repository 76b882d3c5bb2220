"""Verdicts as a table with their findings, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.report.columns import columns
from e820pool.report.paint import VERDICT_STYLES, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.compat import JudgedOn, Verdict
    from e820pool.compat.verdict_documents import VerdictDocument
    from e820pool.findings import Finding
    from e820pool.kernel.profiles import ConfigFrom
    from e820pool.report.paint import Paint

__all__ = (
    "finding_line",
    "judged_on_lines",
    "painted_verdict",
    "verdicts_text",
    "with_findings",
)

_HEADERS = ("kernel", "verdict", "findings")
_DIGITS = 12
_CONFIG_WORDS: dict[ConfigFrom, str] = {
    "assumed": "configuration assumed",
    "given": "configuration given",
    "beside": "configuration from beside the image",
    "inside": "configuration from inside the image",
    "running": "configuration of the running kernel",
}
_MARK = {"unsafe": "!!", "degraded": " !", "note": "  "}


def verdicts_text(
    verdicts: Sequence[Verdict], *, paint: Paint = plain, width: int | None = None
) -> str:
    """Return one line a kernel, then each different finding once with its source.

    ``paint`` adds colour to verdicts (:func:`e820pool.report.paint.painter`);
    ``width`` is what a line has room for, None for any.
    """
    rows = [[v.kernel, painted_verdict(v.verdict, paint), _ids(v)] for v in verdicts]
    return with_findings(columns(rows, _HEADERS, width=width), verdicts)


def with_findings(table: str, verdicts: Sequence[Verdict]) -> str:
    """Return a table, each different finding once, and what was judged on."""
    lines = [table]
    for part in (_finding_lines(verdicts), judged_on_lines(verdicts)):
        lines += ["", *part] if part else []
    return "\n".join(lines)


def judged_on_lines(verdicts: Sequence[Verdict | VerdictDocument]) -> list[str]:
    """Return a line for each different thing that verdicts were judged on."""
    kernels: dict[str, dict[str, None]] = {}
    for verdict in verdicts:
        if verdict.judged_on is not None:
            kernels.setdefault(_judged_on(verdict.judged_on), {})[verdict.kernel] = None
    if len(kernels) == 1:
        return [f"judged on: {text}" for text in kernels]
    return [f"judged on ({', '.join(who)}): {text}" for text, who in kernels.items()]


# The release itself stands beside its verdict.
def _judged_on(basis: JudgedOn) -> str:
    parts: list[str] = [basis.by]
    if basis.version:
        update = f" (update {basis.update})" if basis.update is not None else ""
        parts.append(f"version {basis.version}{update}")
    image = basis.image_sha256
    parts.append(f"image sha256 {image[:_DIGITS]}" if image else "no image")
    config = _CONFIG_WORDS[basis.config]
    deciding = f" (deciding: {' '.join(basis.assumed)})" if basis.assumed else ""
    parts.append(config + deciding)
    if basis.kernel_window == "assumed":
        parts.append("kernel's place assumed")
    parts.append(f"memory devices {basis.memory_devices}")
    return "; ".join(parts)


def painted_verdict(word: str, paint: Paint) -> str:
    """Return a verdict's word in its colour; other words as they are."""
    style = VERDICT_STYLES.get(word)
    return paint(style, word) if style else word


def _ids(verdict: Verdict) -> str:
    return ", ".join(dict.fromkeys(f.id for f in verdict.findings)) or "-"


# Each different finding once, with the kernels it is for.
def _finding_lines(verdicts: Sequence[Verdict]) -> list[str]:
    kernels: dict[tuple[str, str, str, str], list[str]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            key = (finding.level, finding.id, finding.message, finding.source)
            kernels.setdefault(key, []).append(verdict.kernel)
    lines = []
    for (level, ident, message, source), names in kernels.items():
        who = "all kernels" if len(names) == len(verdicts) > 1 else ", ".join(names)
        lines.append(f"{_MARK[level]} {ident} ({who})")
        lines.append(f"     {message}")
        if source:
            lines.append(f"     source: {source}")
    return lines


def finding_line(finding: Finding) -> str:
    """Return a finding in one line."""
    return f"{_MARK[finding.level]} {finding.id}: {finding.message}"
