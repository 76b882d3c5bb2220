"""Profiles: what is known of a kernel release, from the data in specs/kernels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from e820pool.errors import InputError
from e820pool.kernel.kernel_data import (
    KernelData,
    NamedRelease,
    ReleaseKey,
    config_of,
    is_whole_config,
    parse_kernel_data,
    parse_release,
    stable_update,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e820pool.kernel.kernel_data import Behaviour, ConfigValue, Distribution

__all__ = (
    "UNBOUNDED",
    "ConfigFrom",
    "Profile",
    "all_behaviours",
    "assuming",
    "known_distributions",
    "known_releases",
    "profile_for",
    "profile_without_model",
    "with_config",
)

ConfigFrom = Literal["assumed", "given", "beside", "inside", "running"]
"""Where a build configuration came from: nowhere (that of the release is assumed), the
caller, a file beside the image, the image, the running kernel (/proc/config.gz)."""

# In the wheel the data lies in the package, in a source tree beside it.
_PLACES = (
    Path(__file__).parents[1] / "_specs" / "kernels",
    Path(__file__).parents[2] / "specs" / "kernels",
)
# E820MAX, since 4.12 E820_MAX_ENTRIES_ZEROPAGE; three more for each NUMA node
# (E820_X_MAX, since 4.12 E820_MAX_ENTRIES; arch/x86/include/asm/e820/types.h).
_BASE_ENTRIES = 128
_ENTRIES_A_NODE = 3
UNBOUNDED = 1 << 32
"""More entries than any table that can be read has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How one kernel reads a handoff.

    Attributes:
        release: as it was asked for, for example ``6.1.0-52-cloud-amd64``.
        behaviours: the ids that hold for it.
        config: the options that matter, defaults included.
        checked: how the release is known: booted, read or unverified.
        capacity: entries that the kernel's own e820 table holds.
        never_merge: types whose entries the sanitiser never joins.
        update: the z of X.Y.z, None where it is not known: then as the newest.
        given_options: the options of ``config`` that are known; the others are assumed.
        config_from: where they came from.
        distribution: whose kernel it is, for people, as ``RHEL 8.0 to 8.9``; "" for
            an upstream release, or where nobody read what a distribution changed.
        image_sha256: of the image in which the release was recognised, "" without one.
    """

    release: str
    behaviours: frozenset[str]
    config: Mapping[str, ConfigValue]
    checked: str = "unverified"
    capacity: int = _BASE_ENTRIES
    never_merge: frozenset[int] = frozenset()
    update: int | None = None
    given_options: frozenset[str] = frozenset()
    config_from: ConfigFrom = "assumed"
    distribution: str = ""
    image_sha256: str = ""

    def __hash__(self) -> int:
        # Of the fields that tell most profiles apart: they are looked up often.
        return hash((self.release, self.capacity))

    def has(self, behaviour: str) -> bool:
        """Return whether this kernel shows the behaviour."""
        return behaviour in self.behaviours

    def holds(self, count: int) -> bool:
        """Return whether the kernel's own e820 table holds so many entries."""
        return count <= self.capacity

    @property
    def is_modelled(self) -> bool:
        """Return whether it is known which behaviours the kernel shows."""
        return bool(self.behaviours)


def all_behaviours() -> tuple[Behaviour, ...]:
    """Return every behaviour of the data, in its order."""
    return _data().behaviours


def known_releases() -> tuple[str, ...]:
    """Return the releases that the data names, oldest first."""
    return tuple(r.name for r in _data().releases)


def known_distributions() -> tuple[str, ...]:
    """Return the distributions' kernels of which it was read how they differ."""
    return tuple(distribution.name for distribution in _data().distributions)


def profile_for(
    release: str, config: Mapping[str, Any] | None = None, version: str = ""
) -> Profile:
    """Return the profile of a release such as ``6.1`` or ``6.1.0-52-cloud-amd64``.

    A release between two named ones has the behaviours of its own range and the
    configuration of the earlier one. Where a stable update changed something,
    ``6.12.60`` has what 6.12.60 had, and a bare ``6.12`` what the newest 6.12.y has.
    ``4.18-el8`` and ``4.18.0-477.10.1.el8_8.x86_64`` have what RHEL 8 changed.

    Args:
        release: X.Y with anything behind it, or 2.6.Z.
        config: options that differ from the default ones of that release.
        version: the kernel's whole version text, where there is one: it may name the
            stable update that ``6.1.0-52-cloud-amd64`` does not.

    Raises:
        InputError: no such release is known, or an option cannot have its value.

    Example:
        >>> profile_for("6.1.0-52-cloud-amd64").capacity
        3200
        >>> profile_for("6.1", {"NODES_SHIFT": 6}).capacity
        320
        >>> profile_for("6.1").has("append-needs-two")
        True
        >>> profile_for("4.18").has("first-mib-reserved")
        False
        >>> profile_for("4.18-el8").has("first-mib-reserved")
        True
    """
    profile = _profile(release, stable_update(version or release), ())
    return with_config(profile, config) if config else profile


def with_config(
    profile: Profile, config: Mapping[str, Any], config_from: ConfigFrom = "given"
) -> Profile:
    """Return the profile of the same kernel, built with these options.

    What they do not say is assumed as for its release, unless they are a whole
    configuration.

    Raises:
        InputError: an option cannot have its value.
    """
    known = _data().config
    changed = config_of(config, known)
    made = _profile(profile.release, profile.update, tuple(sorted(changed.items())))
    return replace(
        made,
        given_options=frozenset(known if is_whole_config(config) else changed),
        config_from=config_from,
        image_sha256=profile.image_sha256,
    )


@lru_cache(maxsize=1024, typed=True)
def assuming(profile: Profile, option: str, value: ConfigValue) -> Profile:
    """Return the profile of the same kernel if an option had another value."""
    options = {**profile.config, option: value}
    return _profile(profile.release, profile.update, tuple(sorted(options.items())))


def profile_without_model(release: str) -> Profile:
    """Return the profile of a release that is not known: it shows no behaviour.

    What a real kernel was seen to do can be judged by it; predicting takes a model.
    """
    config = MappingProxyType(dict(_data().config))
    return Profile(release=release, behaviours=frozenset(), config=config)


@lru_cache(maxsize=1024)
def _profile(
    release: str, update: int | None, changed: tuple[tuple[str, ConfigValue], ...]
) -> Profile:
    data, key = _data(), parse_release(release)
    named = _validate_known(data, release, key)
    held = frozenset(b.id for b in data.behaviours if b.holds_in(key, update))
    checked = named.checked if named.key == key else "unverified"
    options = dict(named.config)
    vendor = _distribution(data, release)
    if vendor is not None:
        held = held - vendor.lacks | vendor.shows
        checked = vendor.checked
        options |= vendor.config
    config = MappingProxyType({**options, **dict(changed)})
    return Profile(
        release=release,
        behaviours=held,
        config=config,
        checked=checked,
        distribution=vendor.read_of if vendor is not None else "",
        capacity=_capacity(held, config),
        never_merge=_never_merge(held),
        update=update,
    )


def _distribution(data: KernelData, release: str) -> Distribution | None:
    return next(
        (
            distribution
            for distribution in data.distributions
            if distribution.is_kernel(release)
        ),
        None,
    )


def _validate_known(data: KernelData, release: str, key: ReleaseKey) -> NamedRelease:
    older = [r for r in data.releases if r.key <= key]
    series = "2.6" if key[:2] == (2, 6) else str(key[0])
    if not older or key[-1] > data.series.get(series, -1):
        known = ", ".join(known_releases())
        raise InputError(f"kernel not known: {release[:40]!r}; known are {known}")
    return older[-1]


def _capacity(held: frozenset[str], config: Mapping[str, ConfigValue]) -> int:
    if "full-table-drops-entries" not in held:
        return UNBOUNDED
    if "table-grows-only-with-efi" in held and not config["EFI"]:
        return _BASE_ENTRIES
    shift = config["NODES_SHIFT"] if config["NUMA"] else 0
    return _BASE_ENTRIES + (_ENTRIES_A_NODE << int(shift))


def _never_merge(held: frozenset[str]) -> frozenset[int]:
    types = {"sanitizer-never-merges-pram": 12}
    types["sanitizer-never-merges-soft-reserved"] = 0xEFFF_FFFF
    return frozenset(number for name, number in types.items() if name in held)


@cache
def _data() -> KernelData:
    folder = next((place for place in _PLACES if place.is_dir()), None)
    if folder is None:
        raise InputError("specs/kernels is missing: no kernel is known")
    try:
        texts = {p.name: p.read_text(encoding="utf-8") for p in folder.glob("*.toml")}
    except (OSError, ValueError) as exc:
        raise InputError(f"specs/kernels cannot be read: {exc}") from exc
    return parse_kernel_data(texts)
