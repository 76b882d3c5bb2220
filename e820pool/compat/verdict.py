"""All findings for one kernel, and the one word that sums them up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from e820pool.findings import Finding, finding_value, worst_level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.extents import Span
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = (
    "Verdict",
    "VerdictWord",
    "profile_notes",
    "verdict_of",
    "verdict_unknown",
    "verdict_value",
    "window_notes",
)

VerdictWord = Literal["safe", "degraded", "unsafe", "unknown"]
"""From the worst finding; ``unknown`` where nothing could be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All findings about one kernel.

    Attributes:
        kernel: its release, as asked for.
        verdict: ``safe``, ``degraded`` (RAM or the pool is lost, no page is
            touched), ``unsafe`` (a deposited page can be touched) or ``unknown``.
        findings: the worst first.
        view: what they are about, None where nothing was judged.
    """

    kernel: str
    verdict: VerdictWord
    findings: tuple[Finding, ...] = ()
    view: KernelView | None = field(default=None, repr=False, compare=False)


def verdict_of(
    kernel: str, findings: Iterable[Finding], view: KernelView | None = None
) -> Verdict:
    """Return the verdict that the highest level among ``findings`` decides."""
    rank = {"unsafe": 0, "degraded": 1, "note": 2}
    ordered = tuple(sorted(findings, key=lambda finding: rank[finding.level]))
    words: dict[str | None, VerdictWord] = {"unsafe": "unsafe", "degraded": "degraded"}
    word = words.get(worst_level(ordered), "safe")
    return Verdict(kernel=kernel, verdict=word, findings=ordered, view=view)


def verdict_unknown(kernel: str, reason: str) -> Verdict:
    """Return ``unknown``: no profile, no QEMU, a lost VM. Never ``unsafe``."""
    finding = Finding(id="no-verdict", level="note", message=reason)
    return Verdict(kernel=kernel, verdict="unknown", findings=(finding,))


def window_notes(findings: Iterable[Finding], window: Span) -> tuple[Finding, ...]:
    """Return that findings about the decompressor rest on a window that is assumed."""
    if all(one.id != "touched-by-decompressor" for one in findings):
        return ()
    message = (
        f"nothing says where the kernel is unpacked: {window} is "
        "assumed; with an image as --kernel its own size and place count"
    )
    return (Finding(id="window-assumed", level="note", message=message),)


def profile_notes(profile: Profile) -> tuple[Finding, ...]:
    """Return how little is known of a release that nobody booted or read."""
    if profile.checked != "unverified":
        return ()
    message = (
        f"{profile.release[:40]} was neither booted nor read itself: it is judged by "
        "behaviours whose ranges hold it, and by the configuration before it"
    )
    return (Finding(id="profile-between", level="note", message=message),)


def verdict_value(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values."""
    return {
        "kernel": verdict.kernel,
        "verdict": verdict.verdict,
        "findings": [finding_value(one) for one in verdict.findings],
    }
