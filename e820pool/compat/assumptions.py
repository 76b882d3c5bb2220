"""Options that are assumed, and without which the verdict would be another."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from e820pool.abi.setup_data import SETUP_KEXEC_KHO
from e820pool.findings import Finding
from e820pool.kernel.profiles import UNBOUNDED, assuming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e820pool.compat.shared import SharedChecks
    from e820pool.compat.verdict import Verdict
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.kernel_data import ConfigValue
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = ("assumptions_that_decide",)


class _Judged(NamedTuple):
    inp: BootInput
    profile: Profile
    view: KernelView
    ids: frozenset[str]
    most_rows: int


def assumptions_that_decide(
    checks: SharedChecks, inp: BootInput, profile: Profile, verdict: Verdict
) -> Iterator[tuple[str, Finding]]:
    """Yield each assumed option that would change the verdict, and what is said of it.

    Every assumed option that can have an effect on this input is turned, one at a
    time, and the model is asked again; of options with the same effect the first that
    changes the verdict is enough. Where a deposit could then be touched the finding is
    ``degraded``, else a ``note``.

    Args:
        checks: of this input, with the pages that must stay untouched.
        inp: what the kernel reads.
        profile: with the options that are assumed (all but ``given_options``).
        verdict: of the model, by this profile.
    """
    view = verdict.view
    if view is None:
        return
    ids = frozenset(finding.id for finding in verdict.findings)
    case = _Judged(inp, profile, view, ids, _most_rows(inp))
    for group in _ALTERNATIVES:
        for option, values, matters in group:
            if option in profile.given_options or not matters(case):
                continue
            finding = _changed(checks, case, verdict, option, values)
            if finding is not None:
                yield option, finding
                break


def _changed(
    checks: SharedChecks,
    case: _Judged,
    verdict: Verdict,
    option: str,
    values: tuple[ConfigValue, ...],
) -> Finding | None:
    was = case.profile.config[option]
    for value in values or (not was,):
        if value != was:
            profile = assuming(case.profile, option, value)
            other = checks.verdict(profile, like=case.profile)
            if other.verdict != verdict.verdict:
                return _finding(case.profile, option, value, verdict, other)
    return None


def _finding(
    profile: Profile, option: str, value: ConfigValue, verdict: Verdict, other: Verdict
) -> Finding:
    was, word = _shown(profile.config[option]), other.verdict
    worse, better = (other, verdict) if word != "safe" else (verdict, other)
    new = {finding.id for finding in worse.findings if finding.level != "note"}
    new -= {finding.id for finding in better.findings}
    why = f" ({', '.join(sorted(new))})" if new and worse is other else ""
    may_touch = word == "unsafe"
    return Finding(
        id="config-assumed",
        level="degraded" if may_touch else "note",
        message=(
            f"{option}={was} is assumed; of a kernel with {option}={_shown(value)} the "
            f"verdict is {word}{why}"
        ),
        source="specs/kernels/releases.toml: the configuration of that release",
    )


def _shown(value: ConfigValue) -> str:
    return ("n", "y")[value] if isinstance(value, bool) else str(value)


# The most rows that a kernel's table can have while it reads this: each node, each
# word of the command line and each range of its own cuts a row in three.
def _most_rows(inp: BootInput) -> int:
    cuts = len(inp.setup_data or ()) + inp.cmdline.count("mem") + 4
    return int(inp.table.size) + sum(int(rows.size) for rows in inp.ext) + 2 * cuts


# The smaller capacity, with an option and if it were otherwise, where that differs.
@lru_cache(maxsize=1024)
def _capacity_in_doubt(profile: Profile, option: str) -> int:
    values = _SHIFTS if option == "NODES_SHIFT" else (not profile.config[option],)
    others = [assuming(profile, option, value).capacity for value in values]
    differ = [other for other in others if other != profile.capacity]
    return min(profile.capacity, *differ) if differ else UNBOUNDED


def _nodes(case: _Judged) -> bool:
    return _capacity_in_doubt(case.profile, "NODES_SHIFT") < case.most_rows


def _capacity_by_numa(case: _Judged) -> bool:
    return _capacity_in_doubt(case.profile, "NUMA") < case.most_rows


def _capacity_by_efi(case: _Judged) -> bool:
    return _capacity_in_doubt(case.profile, "EFI") < case.most_rows


def _beyond_max_pfn(case: _Judged) -> bool:
    return "memory-beyond-max-pfn" in case.view.warnings


def _reserved_beyond(case: _Judged) -> bool:
    return _beyond_max_pfn(case) and case.profile.has("reserved-beyond-max-pfn-kills")


def _efi(case: _Judged) -> bool:
    return case.inp.efi is not None


# KASLR goes by the zero page's RAM: a deposit under none of it is out of its reach.
def _kaslr(case: _Judged) -> bool:
    reach = {"not-monotone", "touched-by-decompressor", "memmap-limit"}
    reach |= {"efi-memmap-overrides", "forced-to-ram-by-kernel-image"}
    return case.profile.has("kaslr") and bool(case.ids & reach)


def _low_kaslr(case: _Judged) -> bool:
    return case.profile.has("kaslr-low-only") and _kaslr(case)


def _kho(case: _Judged) -> bool:
    named = any(node.type == SETUP_KEXEC_KHO for node in case.inp.setup_data or ())
    return named and case.profile.has("kho-scratch-is-memory")


# An array is freed when memblock outgrows it: the first holds INIT_REGIONS, 128, some
# of which are taken already.
def _freed(case: _Judged) -> bool:
    many = len(case.view.memory) >= 100
    return many and case.profile.has("regions-read-after-free")


# A table that user space can read, and that a later kexec hands on.
def _firmware_map(case: _Judged) -> bool:
    return case.view.user_map is not None or "entry-ends-at-2-64" in case.ids


def _hot_add(case: _Judged) -> bool:
    return (
        "memory-hot-add" in case.ids or not case.profile.config["ACPI_HOTPLUG_MEMORY"]
    )


# Kconfig's default for x86_64, and MAXSMP, as most distributions have it.
_SHIFTS = (6, 10)
# The option, its other values (empty: the other of yes and no), and whether it can
# have an effect; those with the same effect together.
_Alternative = tuple[str, tuple["ConfigValue", ...], "Callable[[_Judged], bool]"]
_ALTERNATIVES: tuple[tuple[_Alternative, ...], ...] = (
    (
        ("NODES_SHIFT", _SHIFTS, _nodes),
        ("NUMA", (), _capacity_by_numa),
        ("EFI", (), _capacity_by_efi),
    ),
    (
        ("NUMA", (), _beyond_max_pfn),
        ("DEFERRED_STRUCT_PAGE_INIT", (), _reserved_beyond),
    ),
    (
        ("INIT_ON_FREE_DEFAULT_ON", (), _freed),
        ("MEMORY_HOTPLUG", (), _freed),
        ("NUMA", (), _freed),
        ("ARCH_KEEP_MEMBLOCK", (), _freed),
    ),
    (("EFI", (), _efi),),
    (("RANDOMIZE_BASE", (), _kaslr), ("HIBERNATION", (), _low_kaslr)),
    (("KEXEC_HANDOVER", (), _kho),),
    (("FIRMWARE_MEMMAP", (), _firmware_map),),
    (("ACPI_HOTPLUG_MEMORY", (), _hot_add),),
)
