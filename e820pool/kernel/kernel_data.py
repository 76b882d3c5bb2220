"""The data of specs/kernels as values: behaviours, named releases, options."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from e820pool.errors import InputError
from e820pool.kernel.behaviour import Behaviour, behaviour_of
from e820pool.kernel.config import ConfigValue, config_of
from e820pool.kernel.release import ReleaseKey, parse_release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("KernelData", "NamedRelease", "parse_kernel_data")

# Named releases and options; every other file holds behaviours.
_RELEASES_FILE = "releases.toml"

_SCHEMA = 1
_RELEASE_KEYS = {"name", "checked", "config", "note"}
_CHECKED = ("booted", "read", "unverified")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRelease:
    """Hold a release that the data names, with its default options."""

    key: ReleaseKey
    name: str
    checked: str
    config: Mapping[str, ConfigValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelData:
    """Hold everything that is known of kernels.

    Attributes:
        behaviours: in the order of the files.
        releases: oldest first.
        config: every option that matters, with its default.
        series: ``2.6``, ``3`` ... to the last minor release of each.
    """

    behaviours: tuple[Behaviour, ...]
    releases: tuple[NamedRelease, ...]
    config: Mapping[str, ConfigValue]
    series: Mapping[str, int]


def parse_kernel_data(texts: Mapping[str, str]) -> KernelData:
    """Return what the files say.

    Args:
        texts: file name to text; ``releases.toml`` and any number of others.

    Raises:
        InputError: a file is missing, is no TOML, or holds what it may not;
            names the file and the record.
    """
    tables = {name: _table(name, text) for name, text in sorted(texts.items())}
    top = tables.pop(_RELEASES_FILE, None)
    if top is None:
        raise InputError(f"{_RELEASES_FILE} is missing")
    config = _options(top)
    releases = [_release(r, config) for r in _records(_RELEASES_FILE, top, "release")]
    behaviours = [
        behaviour_of(record, name)
        for name, table in tables.items()
        for record in _records(name, table, "behaviour")
    ]
    _validate_names("behaviour", [b.id for b in behaviours])
    _validate_names("release", [r.name for r in releases])
    return KernelData(
        behaviours=tuple(behaviours),
        releases=tuple(sorted(releases, key=lambda r: r.key)),
        config=MappingProxyType(config),
        series=MappingProxyType(_series(top)),
    )


def _table(name: str, text: str) -> dict[str, Any]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InputError(f"{name}: no TOML: {exc}") from exc
    if found.get("schema") != _SCHEMA:
        raise InputError(f"{name}: schema {found.get('schema')!r} is not {_SCHEMA}")
    return found


def _records(name: str, table: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    records = table.get(key)
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise InputError(f"{name}: no [[{key}]] records")
    extra = sorted(table.keys() - {"schema", key, "series", "config"})
    if extra:
        raise InputError(f"{name}: {extra[0]!r} is not a key")
    yield from records


def _options(top: dict[str, Any]) -> dict[str, ConfigValue]:
    options = top.get("config")
    if not isinstance(options, dict):
        raise InputError(f"{_RELEASES_FILE}: no [config]")
    return config_of(options, options)


def _series(top: dict[str, Any]) -> dict[str, int]:
    series = top.get("series")
    if not isinstance(series, dict) or {type(n) for n in series.values()} != {int}:
        raise InputError(f"{_RELEASES_FILE}: [series] is no table of numbers")
    return dict(series)


def _release(record: dict[str, Any], default: dict[str, ConfigValue]) -> NamedRelease:
    name, checked = record.get("name"), record.get("checked")
    where = f"{_RELEASES_FILE}: release {name!r}"
    if not isinstance(name, str) or checked not in _CHECKED:
        raise InputError(f"{where}: checked {checked!r} is not one of {_CHECKED}")
    options = record.get("config", {})
    extra = sorted(record.keys() - _RELEASE_KEYS)
    if extra or not isinstance(options, dict) or options.keys() - default.keys():
        wrong = extra or sorted(options)
        raise InputError(f"{where}: {wrong[0]!r} is not a key or option")
    return NamedRelease(
        key=parse_release(name),
        name=name,
        checked=checked,
        config=MappingProxyType({**default, **config_of(options, default)}),
    )


def _validate_names(kind: str, names: list[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{kind} {doubled[0]!r} is there twice")
