"""Read verdicts and findings back from JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from e820pool.compat import Difference, JudgedOn, Verdict, VerdictWord
from e820pool.compat.verdict import Engines, MemoryDevices, WindowFrom
from e820pool.findings import LEVELS, Finding, Level
from e820pool.kernel.profiles import ConfigFrom
from e820pool.report.results.model import Judged, VerdictsChapter

if TYPE_CHECKING:
    from e820pool.sources.json_fields import Fields

__all__ = ("WORDS", "differences_of", "finding_of", "verdict_at", "verdicts_chapter")

WORDS: tuple[VerdictWord, ...] = get_args(VerdictWord)
"""What a verdict can be, from the best to none."""


def verdicts_chapter(found: Fields, origin: str) -> VerdictsChapter:
    """Return the chapter of a document of kind ``verdicts``."""
    judged = tuple(_judged(one) for one in found.parts("verdicts"))
    return VerdictsChapter(origin=origin, judged=judged)


def verdict_at(found: Fields) -> Verdict:
    """Return a verdict with its findings."""
    return Verdict(
        kernel=found.text("kernel"),
        verdict=cast("VerdictWord", found.word("verdict", WORDS)),
        findings=tuple(finding_of(one) for one in found.parts("findings")),
        judged_on=_judged_on(found),
    )


# Documents of earlier versions do not say it.
def _judged_on(found: Fields) -> JudgedOn | None:
    if not found.has("judged_on"):
        return None
    known = found.part("judged_on")
    return JudgedOn(
        release=known.text("release"),
        version=known.text("version"),
        update=known.count("update") if known.has("update") else None,
        image_sha256=known.text("image_sha256") if known.has("image_sha256") else "",
        config=cast("ConfigFrom", known.word("config", get_args(ConfigFrom))),
        assumed=known.texts("assumed"),
        kernel_window=cast(
            "WindowFrom", known.word("kernel_window", get_args(WindowFrom))
        ),
        memory_devices=cast(
            "MemoryDevices", known.word("memory_devices", get_args(MemoryDevices))
        ),
        by=cast("Engines", known.word("by", get_args(Engines))),
    )


def finding_of(found: Fields) -> Finding:
    """Return a finding; its extents become half-open."""
    rows = found.rows("extents", 2) if found.has("extents") else []
    return Finding(
        id=found.text("id"),
        level=cast("Level", found.word("level", LEVELS)),
        message=found.text("message"),
        source=found.text("source") if found.has("source") else "",
        extents=tuple((start, start + count) for start, count in rows),
    )


def differences_of(found: Fields, one: str, other: str) -> tuple[Difference, ...]:
    """Return the differences, of which the sides are called ``one`` and ``other``."""
    return tuple(
        Difference(field=d.text("field"), one=d.text(one), other=d.text(other))
        for d in found.parts("differences")
    )


def _judged(found: Fields) -> Judged:
    verdict = verdict_at(found)
    if not found.has("model"):
        return Judged(verdict=verdict)
    return Judged(
        verdict=verdict,
        model=found.word("model", WORDS),
        machine=found.word("machine", WORDS),
        differences=differences_of(found, "one", "other"),
    )
