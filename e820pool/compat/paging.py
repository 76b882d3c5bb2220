"""Two kernels and one processor: the page tables that a kexec leaves to the next.

A kexec enters the next kernel with as many levels of page tables as the running one
has. The next kernel's decompressor adds a fifth level or takes it away, by its own
configuration and command line; some cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from e820pool.abi.bzimage import parse_bzimage
from e820pool.abi.setup_header import XLF_5LEVEL, XLF_5LEVEL_ENABLED
from e820pool.errors import InputError
from e820pool.findings import Finding
from e820pool.kernel.profiles import assuming, profile_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.kernel.profiles import Profile

__all__ = (
    "NextKernelPaging",
    "RunningKernel",
    "findings_of_paging",
    "findings_of_start",
    "running_kernel",
)

_PROBE = "arch/x86/kernel/kexec-bzimage64.c bzImage64_probe()"
_RAW = (
    "5.10 arch/x86/boot/compressed/pgtable_64.c paging_prepare(); 6.12 "
    "arch/x86/mm/ident_map.c kernel_ident_mapping_init()"
)
_REMEDY = "boot the running kernel with no5lvl first"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningKernel:
    """The kernel that starts the next one.

    Attributes:
        profile: None where its release is not known: it is then taken for a new one.
        has_five_levels: whether its page tables have five levels, as ``la57`` among
            the flags of /proc/cpuinfo says; None where the processor is not known.
    """

    profile: Profile | None
    has_five_levels: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextKernelPaging:
    """What of the next kernel decides how many levels it wants.

    Attributes:
        profile: None where its release is not known.
        xloadflags: of its image, None without one: then its configuration decides.
        cmdline: its command line.
    """

    profile: Profile | None
    xloadflags: int | None = None
    cmdline: str = ""

    @property
    def knows_five_levels(self) -> bool:
        """Return whether it can take a fifth level away (4.17 and later)."""
        if self._says_so:
            return True
        if self.profile is not None:
            return self.profile.has("five-levels-known")
        return self.xloadflags is None

    @property
    def wants_five_levels(self) -> bool:
        """Return whether it runs with five where the processor can."""
        if "no5lvl" in self.cmdline.partition(" -- ")[0].split():
            return False
        if self.xloadflags is not None and self._says_so:
            return bool(self.xloadflags & XLF_5LEVEL_ENABLED)
        profile = self.profile
        return profile is None or (
            profile.has("five-levels-always") or bool(profile.config["X86_5LEVEL"])
        )

    # Images of 4.17 to 5.2 can, and do not say it.
    @property
    def _says_so(self) -> bool:
        return self.xloadflags is not None and bool(self.xloadflags & XLF_5LEVEL)


def running_kernel(version: str, *, has_five_levels: bool | None) -> RunningKernel:
    """Return the kernel that /proc/version names, or a release."""
    text = version.removeprefix("Linux version ").strip()
    try:
        profile = profile_for(text.partition(" ")[0], version=text)
    except InputError:
        profile = None
    return RunningKernel(profile=profile, has_five_levels=has_five_levels)


def findings_of_start(
    running: RunningKernel, profile: Profile | None, image: bytes | None, cmdline: str
) -> Iterator[Finding]:
    """Yield :func:`findings_of_paging` of a kernel that is to be started.

    Args:
        running: the kernel that starts it.
        profile: how it reads, with its configuration; None where it is not known.
        image: its bzImage, None where only the profile is at hand.
        cmdline: its command line.

    Raises:
        BadImageError: the image is no bzImage.
    """
    flags = None if image is None else parse_bzimage(image).xloadflags
    yield from findings_of_paging(
        running, NextKernelPaging(profile=profile, xloadflags=flags, cmdline=cmdline)
    )


def findings_of_paging(
    running: RunningKernel, following: NextKernelPaging
) -> Iterator[Finding]:
    """Yield whether the next kernel dies of the page tables that it is entered with.

    It dies at its first instructions, before it reads any map: no page is touched,
    and nothing runs any more. Where CONFIG_X86_5LEVEL of either kernel is assumed and
    decides, that is a finding, too.
    """
    findings = list(_findings(running, following))
    yield from findings
    for kernel, pair in (
        (running, (_turned(running), following)),
        (following, (running, _turned(following))),
    ):
        if kernel.profile is None or _OPTION in kernel.profile.given_options:
            continue
        ids = [finding.id for finding in _findings(*pair)]
        if ids != [finding.id for finding in findings]:
            yield _assumed(kernel.profile, ids)


_OPTION = "X86_5LEVEL"
_Kernel = TypeVar("_Kernel", "RunningKernel", "NextKernelPaging")


# The same kernel, built the other way.
def _turned(kernel: _Kernel) -> _Kernel:
    if kernel.profile is None:
        return kernel
    profile = assuming(kernel.profile, _OPTION, not kernel.profile.config[_OPTION])
    return replace(kernel, profile=profile)


def _assumed(profile: Profile, ids: list[str]) -> Finding:
    was, turned = ("y", "n") if profile.config[_OPTION] else ("n", "y")
    outcome = f"has {ids[0]}" if ids else "starts"
    return Finding(
        id="config-assumed",
        level="note",
        message=f"{_OPTION}={was} of {profile.release} is assumed; if it were {turned} "
        f"the kexec {outcome}",
        source="specs/kernels/releases.toml: the configuration of that release",
    )


def _findings(running: RunningKernel, following: NextKernelPaging) -> Iterator[Finding]:
    if running.has_five_levels is False or not _can_have_five(running):
        return
    where = "the running kernel's page tables have five levels"
    if running.has_five_levels is None:
        where = "on a processor with la57 " + where
    if not following.knows_five_levels:
        yield Finding(
            id="five-level-paging",
            level="degraded",
            message=f"{where}, and the next kernel knows of four: it hangs at once; "
            f"{_REMEDY}",
            source=_PROBE,
        )
    elif not following.wants_five_levels and _resets(running, following):
        why = "is built without them (CONFIG_X86_5LEVEL)"
        if "no5lvl" in following.cmdline:
            why = "has no5lvl on its command line"
        yield Finding(
            id="five-level-paging",
            level="degraded",
            message=f"{where}, and the next kernel {why}: going back to four it takes "
            f"bit 58 of an entry for a part of its address, and resets; {_REMEDY}",
            source=_RAW,
        )


# Only where nothing is known of the processor it matters how the kernel was built.
def _can_have_five(running: RunningKernel) -> bool:
    if running.has_five_levels or running.profile is None:
        return True
    profile = running.profile
    return profile.has("five-levels-always") or (
        profile.has("five-levels-known") and bool(profile.config["X86_5LEVEL"])
    )


def _resets(running: RunningKernel, following: NextKernelPaging) -> bool:
    marked = running.profile is None or running.profile.has("kexec-tables-have-bit-58")
    raw = "fifth-level-left-by-raw-entry"
    return marked and following.profile is not None and following.profile.has(raw)
