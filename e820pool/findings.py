"""One stated problem, with a stable id that people can look up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from e820pool.range_lists import StartEnd

__all__ = (
    "LEVELS",
    "LISTED",
    "Finding",
    "Level",
    "counted",
    "one_line",
    "worst_level",
)

Level = Literal["note", "degraded", "unsafe"]
"""How bad a finding is."""

LEVELS: tuple[Level, ...] = ("note", "degraded", "unsafe")
"""From harmless to fatal; a verdict is decided by the highest one present."""

LISTED = 64
"""At most so many extents are listed in a finding; the message has the total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem.

    Attributes:
        id: stable name, for example ``usable-as-ram``; listed in specs/.
        level: ``unsafe`` a deposited page can be touched; ``degraded`` RAM is
            lost or the pool cannot be rebuilt; ``note`` anything else.
        message: one sentence that shows the values.
        extents: half-open PFN ranges it is about, ``(start_pfn, end_pfn)``.
        source: what the statement rests on (release, file, function), or "".
    """

    id: str
    level: Level
    message: str
    extents: tuple[StartEnd, ...] = ()
    source: str = ""


def worst_level(findings: tuple[Finding, ...]) -> Level | None:
    """Return the highest level among ``findings``, None when there are none."""
    ranks = [LEVELS.index(finding.level) for finding in findings]
    return LEVELS[max(ranks)] if ranks else None


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 page``, ``2 pages``."""
    plural = "ies" if noun.endswith("ry") else "s"
    stem = noun[:-1] if noun.endswith("ry") else noun
    return f"{count} {noun}" if count == 1 else f"{count} {stem}{plural}"


def one_line(text: str) -> str:
    """Return untrusted text, a name or a message, without line breaks.

    What is not printable is written as Python writes it: no line of ours can be forged.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
