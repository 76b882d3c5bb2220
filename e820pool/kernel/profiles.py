"""Profiles: what is known of a kernel release, from the data in specs/kernels."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from e820pool.errors import InputError
from e820pool.kernel.behaviour import Behaviour, behaviour_of
from e820pool.kernel.config import ConfigValue, config_of
from e820pool.kernel.release import ReleaseKey, parse_release

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Profile", "all_behaviours", "known_releases", "profile_for")

_SCHEMA = 1
# In the wheel the data lies in the package, in a source tree beside it.
_PLACES = (
    Path(__file__).parents[1] / "_specs" / "kernels",
    Path(__file__).parents[2] / "specs" / "kernels",
)
# E820MAX, since 4.12 E820_MAX_ENTRIES_ZEROPAGE; three more for each NUMA node
# (E820_X_MAX, since 4.12 E820_MAX_ENTRIES; arch/x86/include/asm/e820/types.h).
_BASE_ENTRIES = 128
_ENTRIES_A_NODE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Hold how one kernel reads a handoff.

    Attributes:
        release: as it was asked for, for example ``6.1.0-52-cloud-amd64``.
        behaviours: the ids that hold for it.
        config: the options that matter, defaults included.
        checked: how the release is known: booted, read or unverified.
        capacity: entries that the kernel's own e820 table holds.
        never_merge: types whose entries the sanitiser never joins.
    """

    release: str
    behaviours: frozenset[str]
    config: Mapping[str, ConfigValue] = field(hash=False)
    checked: str = "unverified"
    capacity: int = _BASE_ENTRIES
    never_merge: frozenset[int] = frozenset()

    def has(self, behaviour: str) -> bool:
        """Return whether this kernel shows the behaviour."""
        return behaviour in self.behaviours


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    # One named release of releases.toml.
    key: ReleaseKey
    name: str
    checked: str
    config: Mapping[str, ConfigValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    # All of specs/kernels, read once.
    behaviours: tuple[Behaviour, ...]
    releases: tuple[_Release, ...]
    config: Mapping[str, ConfigValue]
    series: Mapping[str, int]


def all_behaviours() -> tuple[Behaviour, ...]:
    """Return every behaviour of the data, in its order."""
    return _data().behaviours


def known_releases() -> tuple[str, ...]:
    """Return the releases that the data names, oldest first."""
    return tuple(r.name for r in _data().releases)


def profile_for(release: str, config: Mapping[str, Any] | None = None) -> Profile:
    """Return the profile of a release such as ``6.1`` or ``6.1.0-52-cloud-amd64``.

    A release between two named ones has the behaviours of its own range and the
    configuration of the earlier one.

    Args:
        release: X.Y with anything behind it, or 2.6.Z.
        config: options that differ from the default ones of that release.

    Raises:
        InputError: no such release is known, or an option cannot have its value.
    """
    changed = config_of(config or {}, _data().config)
    return _profile(release, tuple(sorted(changed.items())))


@lru_cache(maxsize=256)
def _profile(release: str, changed: tuple[tuple[str, ConfigValue], ...]) -> Profile:
    data, key = _data(), parse_release(release)
    named = _validate_known(data, release, key)
    config = MappingProxyType({**named.config, **dict(changed)})
    held = frozenset(b.id for b in data.behaviours if b.holds_in(key))
    exact = named.key == key
    return Profile(
        release=release,
        behaviours=held,
        config=config,
        checked=named.checked if exact else "unverified",
        capacity=_capacity(held, config),
        never_merge=_never_merge(held),
    )


def _validate_known(data: _Data, release: str, key: ReleaseKey) -> _Release:
    older = [r for r in data.releases if r.key <= key]
    series = "2.6" if key[:2] == (2, 6) else str(key[0])
    if not older or key[-1] > data.series.get(series, -1):
        known = ", ".join(known_releases())
        raise InputError(f"kernel not known: {release[:40]!r}; known are {known}")
    return older[-1]


def _capacity(held: frozenset[str], config: Mapping[str, ConfigValue]) -> int:
    if "table-grows-only-with-efi" in held and not config["EFI"]:
        return _BASE_ENTRIES
    shift = config["NODES_SHIFT"] if config["NUMA"] else 0
    return _BASE_ENTRIES + (_ENTRIES_A_NODE << int(shift))


def _never_merge(held: frozenset[str]) -> frozenset[int]:
    types = {"sanitizer-never-merges-pram": 12}
    types["sanitizer-never-merges-soft-reserved"] = 0xEFFF_FFFF
    return frozenset(number for name, number in types.items() if name in held)


@cache
def _data() -> _Data:
    folder = next((place for place in _PLACES if place.is_dir()), None)
    if folder is None:
        raise InputError("specs/kernels is missing: no kernel is known")
    top = _table(folder / "releases.toml")
    behaviours = [
        behaviour_of(record, path.name)
        for path in sorted(folder.glob("behaviours-*.toml"))
        for record in _records(path, "behaviour")
    ]
    names = [b.id for b in behaviours]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"specs/kernels: behaviour {doubled[0]!r} is there twice")
    config = config_of(top["config"], top["config"])
    releases = [
        _release(r, config) for r in _records(folder / "releases.toml", "release")
    ]
    return _Data(
        behaviours=tuple(behaviours),
        releases=tuple(sorted(releases, key=lambda r: r.key)),
        config=MappingProxyType(config),
        series=MappingProxyType(dict(top["series"])),
    )


def _release(record: dict[str, Any], default: dict[str, ConfigValue]) -> _Release:
    changed = config_of(record.get("config", {}), default)
    return _Release(
        key=parse_release(record["name"]),
        name=record["name"],
        checked=record["checked"],
        config=MappingProxyType({**default, **changed}),
    )


def _table(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(f"{path.name}: cannot be read: {exc}") from exc
    if found.get("schema") != _SCHEMA:
        shown = found.get("schema")
        raise InputError(f"{path.name}: schema {shown!r} is not {_SCHEMA}")
    return found


def _records(path: Path, name: str) -> list[dict[str, Any]]:
    found = _table(path).get(name)
    if not (isinstance(found, list) and all(isinstance(r, dict) for r in found)):
        raise InputError(f"{path.name}: no [[{name}]] records")
    return found
