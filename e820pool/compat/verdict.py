"""All findings for one kernel, and the one word that sums them up."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Literal

from e820pool.findings import LISTED, Finding, Level, worst_level
from e820pool.kernel.kernel_data import parse_release
from e820pool.kernel.profiles import ConfigFrom  # noqa: TC001  msgspec asks for it

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.extents import ExtentSet, Span
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = (
    "DevicesWord",
    "Engines",
    "JudgedOn",
    "Verdict",
    "VerdictWord",
    "WindowFrom",
    "finding_about",
    "judged_on_of",
    "profile_notes",
    "verdict_of",
    "verdict_unknown",
    "window_notes",
)

VerdictWord = Literal["safe", "degraded", "unsafe", "unknown"]
"""From the worst finding; ``unknown`` where nothing could be judged."""


WindowFrom = Literal["given", "assumed", "unknown"]
"""Whether it is known where the kernel is unpacked."""
DevicesWord = Literal["known", "unknown"]
"""Whether it is known where the machine has memory devices."""
Engines = Literal["model", "machine", "model and machine"]
"""Who was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedOn:
    """What was known when a verdict was made.

    Attributes:
        release: the release whose model judged, such as ``6.1``.
        version: the exact version that was recognised, "" where only a release was
            named.
        update: the stable update of it, None where it is not known.
        image_sha256: of the image file, None without an image.
        config: where the build configuration came from.
        assumed: options that are assumed and would, if they were otherwise, change the
            verdict; of each there is a finding ``config-assumed``.
        kernel_window: whether the kernel's place is known.
        memory_devices: whether the machine's memory devices are known.
        by: who was asked.
    """

    release: str
    version: str = ""
    update: int | None = None
    image_sha256: str | None = None
    config: ConfigFrom = "assumed"
    assumed: tuple[str, ...] = ()
    kernel_window: WindowFrom = "unknown"
    memory_devices: DevicesWord = "unknown"
    by: Engines = "model"


# The same for host after host of a fleet.
@lru_cache(maxsize=1024)
def judged_on_of(
    profile: Profile,
    *,
    assumed: tuple[str, ...] = (),
    kernel_window: WindowFrom = "unknown",
    memory_devices: DevicesWord = "unknown",
    by: Engines = "model",
) -> JudgedOn:
    """Return what is known of a kernel by its profile, and the rest as it is given."""
    release = ".".join(map(str, parse_release(profile.release)))
    return JudgedOn(
        release=release,
        version=profile.release if profile.release != release else "",
        update=profile.update,
        image_sha256=profile.image_sha256 or None,
        config=profile.config_from,
        assumed=assumed,
        kernel_window=kernel_window,
        memory_devices=memory_devices,
        by=by,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All findings about one kernel.

    Attributes:
        kernel: its release, as asked for.
        verdict: ``safe``, ``degraded`` (RAM or the pool is lost, no page is
            touched), ``unsafe`` (a deposited page can be touched) or ``unknown``.
        findings: the worst first.
        judged_on: what was known, None where nothing was judged.
        view: what they are about, None where nothing was judged.
    """

    kernel: str
    verdict: VerdictWord
    findings: tuple[Finding, ...] = ()
    judged_on: JudgedOn | None = None
    view: KernelView | None = field(default=None, repr=False, compare=False)


def verdict_of(
    kernel: str,
    findings: Iterable[Finding],
    view: KernelView | None = None,
    judged_on: JudgedOn | None = None,
) -> Verdict:
    """Return the verdict that the highest level among ``findings`` decides."""
    rank = {"unsafe": 0, "degraded": 1, "note": 2}
    ordered = tuple(sorted(findings, key=lambda finding: rank[finding.level]))
    words: dict[str | None, VerdictWord] = {"unsafe": "unsafe", "degraded": "degraded"}
    word = words.get(worst_level(ordered), "safe")
    return Verdict(
        kernel=kernel, verdict=word, findings=ordered, view=view, judged_on=judged_on
    )


def verdict_unknown(kernel: str, reason: str) -> Verdict:
    """Return ``unknown``: no profile, no QEMU, a lost VM. Never ``unsafe``."""
    finding = Finding(id="no-verdict", level="note", message=reason)
    return Verdict(kernel=kernel, verdict="unknown", findings=(finding,))


def window_notes(findings: Iterable[Finding], window: Span) -> tuple[Finding, ...]:
    """Return that findings about the decompressor rest on a window that is assumed."""
    if all(finding.id != "touched-by-decompressor" for finding in findings):
        return ()
    message = (
        f"nothing says where the kernel is unpacked: {window} is "
        "assumed; with an image as --kernel its own size and place count"
    )
    return (Finding(id="window-assumed", level="note", message=message),)


def profile_notes(profile: Profile) -> tuple[Finding, ...]:
    """Return how little is known of a release that was not booted or read as it is."""
    if profile.distribution:
        message = (
            f"{profile.release[:40]} is judged as its upstream release, but for what "
            f"was read of {profile.distribution}; what was not read may differ"
        )
        return (Finding(id="profile-distribution", level="note", message=message),)
    if profile.checked != "unverified":
        return ()
    message = (
        f"{profile.release[:40]} was neither booted nor read itself: it is judged by "
        "behaviours whose ranges hold it, and by the configuration before it"
    )
    return (Finding(id="profile-between", level="note", message=message),)


def finding_about(
    ident: str, level: Level, extents: ExtentSet, message: str, source: str
) -> Finding:
    """Return a finding whose ``message`` has ``{pages}`` where they are named."""
    first = next(iter(extents))[0] if extents else 0
    pages = f"{extents.nr_pages} deposited page(s) from PFN {first:#x}"
    return Finding(
        id=ident,
        level=level,
        message=message.format(pages=pages),
        extents=tuple(islice(extents, LISTED)),
        source=source,
    )
