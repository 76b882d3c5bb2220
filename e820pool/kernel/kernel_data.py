"""The data of specs/kernels as values: behaviours, named releases, options."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from e820pool.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = (
    "Behaviour",
    "Checked",
    "ConfigValue",
    "Distribution",
    "KernelData",
    "NamedRelease",
    "ReleaseKey",
    "behaviour_of",
    "config_of",
    "is_whole_config",
    "parse_kernel_data",
    "parse_release",
    "stable_update",
)

# A kernel release as a number that can be compared, and its stable update.

ReleaseKey = tuple[int, ...]
"""``(2, 6, z)`` for 2.6.z, else ``(x, y)``: what decides on most behaviours."""

# Longer numbers than any release has are a typing error, not a release.
_RELEASE = re.compile(
    r"(\d{1,3})\.(\d{1,4})(?:\.(\d{1,6}))?([-+._~ ].*)?", re.ASCII | re.DOTALL
)
# Before 13 Debian calls every update of 6.1 "6.1.0-N", and says the update at the end
# of the version text: "... #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)".
_DEBIAN = re.compile(r"\bDebian (\d+)\.(\d+)\.(\d+)", re.ASCII)


def parse_release(text: str) -> ReleaseKey:
    """Return the key of ``6.1``, ``6.1.187`` or ``6.1.0-52-cloud-amd64``.

    What follows X.Y does not count here (:func:`stable_update` reads it), except that
    2.6.z releases were what X.Y releases are today.

    Raises:
        InputError: the text is no release.
    """
    major, minor, update, _ = _parts(text)
    if (major, minor) != (2, 6):
        return major, minor
    if update is None:
        raise InputError(f"kernel not known: {text[:40]!r} lacks the z of 2.6.z")
    return 2, 6, update


@lru_cache(maxsize=1024)
def stable_update(text: str) -> int | None:
    """Return the z of X.Y.z, None where the text does not say it.

    The z of ``6.12.60`` and ``6.12.117+deb13-amd64`` is said; so is that of ``6.12.0``,
    of a release candidate (0), and of a whole version text that ends as Debian's do.
    ``6.12`` and a distribution's ``6.1.0-52-cloud-amd64`` do not say it.

    Example:
        >>> stable_update("6.12.60"), stable_update("6.12"), stable_update("6.1.0-52-x")
        (60, None, None)
        >>> stable_update("6.1.0-50-amd64 (x@debian) #1 SMP Debian 6.1.176-1")
        176

    Raises:
        InputError: the text is no release.
    """
    major, minor, update, rest = _parts(text)
    if (major, minor) == (2, 6):
        return None
    # /proc/version names Debian's compiler in the same way, before the kernel.
    ours = [z for *xy, z in _DEBIAN.findall(rest) if [*map(int, xy)] == [major, minor]]
    if ours:
        return int(ours[-1])
    if update:
        return update
    is_candidate = rest.startswith("-rc")
    is_plain = update == 0 and (not rest or rest.startswith("+"))
    return 0 if is_candidate or is_plain else None


def _parts(text: str) -> tuple[int, int, int | None, str]:
    match = _RELEASE.fullmatch(text)
    if match is None:
        raise InputError(f"kernel not known: {text[:40]!r} is no release like 6.1")
    major, minor, update, rest = match.groups()
    return int(major), int(minor), None if update is None else int(update), rest or ""


# The configuration options that change how a kernel reads a handoff.

ConfigValue = bool | int | str
"""What an option is: yes or no, a number, or a text."""

_WORDS = {"y": True, "m": True, "n": False, "": False}
# What an option may be; all others are yes or no, but for texts.
_NUMBERS = {
    "NODES_SHIFT": (0, 10),
    "PHYSICAL_ALIGN": (1 << 12, 1 << 30),
    "PHYSICAL_START": (0, 1 << 46),
    "RANDOMIZE_BASE_MAX_OFFSET": (0, 1 << 46),
    "X86_RESERVE_LOW": (4, 640),
}
_TEXTS = {"CMDLINE": 2047}  # bytes that a kernel keeps of it
# Every x86 configuration has the first; Kconfig writes hundreds of others with it.
_IN_EVERY_CONFIG = "X86"
_WHOLE = 200


def config_of(options: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``options`` that are in ``known``, as booleans and integers.

    Names may carry the prefix ``CONFIG_``; values may be what Kconfig writes
    (``y``, ``n``, ``0x200000``). Options that change nothing are left out, so
    that a whole ``.config`` can be given. There an option that is not written is not
    set: Kconfig writes no line for one whose dependencies are not met.

    Raises:
        InputError: a value is not one that the option can have.
    """
    config: dict[str, Any] = {}
    for name, value in options.items():
        if not isinstance(name, str):
            raise InputError(f"config: {name!r} is no option name")
        plain = name.removeprefix("CONFIG_")
        if plain in known:
            config[plain] = _value_of(plain, value)
    if is_whole_config(options):
        unset = (name for name, value in known.items() if type(value) is bool)
        config = dict.fromkeys(unset, False) | config
    return config


def is_whole_config(options: Mapping[str, Any]) -> bool:
    """Return whether options are all of a build's, and not only some of them."""
    return _IN_EVERY_CONFIG in options and len(options) >= _WHOLE


def _value_of(name: str, value: object) -> ConfigValue:
    if name in _TEXTS:
        return _text_of(name, value)
    limits = _NUMBERS.get(name)
    if limits is None:
        return _flag_of(name, value)
    number = _number_of(value)
    if number is None or not limits[0] <= number <= limits[1]:
        shown = hex(number) if number is not None else repr(value)[:40]
        raise InputError(
            f"config: {name}={shown} is outside {limits[0]:#x}..{limits[1]:#x}"
        )
    return number


def _text_of(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value.encode()) > _TEXTS[name]:
        raise InputError(
            f"config: {name}={value!r}"[:80] + f" is no text of {_TEXTS[name]:#x} bytes"
        )
    return value


def _flag_of(name: str, value: object) -> bool:
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise InputError(f"config: {name}={value!r} is neither y nor n"[:200])


def _number_of(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(value, 0) if isinstance(value, str) else None
    except ValueError:
        return None


# One difference in how kernels read a handoff, and its record in the data.

Checked = Literal["booted", "read", "unverified"]
"""Seen in a boot, read in the source, or from memory or inference."""

# The stable updates that took the change, and those that lost it.
_UPDATES = {"since_updates", "until_updates"}
_KEYS = {"id", "what", "since", "until", "source", "checked", "note"} | _UPDATES
_NEEDED = _KEYS - {"until", "note"} - _UPDATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One way of reading, and the releases that read so.

    Attributes:
        id: what :meth:`Profile.has` is asked for.
        what: one sentence.
        since: the first release that does it.
        until: the first release that no longer does it, "" when all later do.
        since_updates: stable updates of earlier releases that do it too, from each on:
            ``6.12.5`` speaks for the rest of 6.12.y.
        until_updates: those of releases before ``until`` that no longer do it.
        source: where it was read: release, file, function.
        checked: how it is known to be so.
        note: what is uncertain about it, "" when nothing is.
    """

    id: str
    what: str
    since: str
    until: str
    source: tuple[str, ...]
    checked: Checked
    note: str = ""
    since_updates: tuple[str, ...] = ()
    until_updates: tuple[str, ...] = ()

    def holds_in(self, release: ReleaseKey, update: int | None = None) -> bool:
        """Return whether a kernel of that release behaves so.

        ``update`` is the z of X.Y.z; None stands for the newest.
        """
        begun = release >= parse_release(self.since)
        if not begun and not _has_reached(release, update, self.since_updates):
            return False
        if self.until and release >= parse_release(self.until):
            return False
        return not _has_reached(release, update, self.until_updates)


def _has_reached(
    release: ReleaseKey, update: int | None, borders: tuple[str, ...]
) -> bool:
    return any(
        parse_release(border) == release
        and (update is None or update >= (stable_update(border) or 0))
        for border in borders
    )


def behaviour_of(record: Mapping[str, Any], where: str) -> Behaviour:
    """Return the behaviour that a record of the data files describes.

    Args:
        record: one ``[[behaviour]]`` table.
        where: the file, for messages.

    Raises:
        InputError: a key is missing, unknown or of the wrong type.
    """
    name = f"{where}: behaviour {record.get('id', '(no id)')!r}"
    _validate_keys(record, name)
    sources = record["source"]
    if not (isinstance(sources, list) and sources and all(map(_is_text, sources))):
        raise InputError(f"{name}: source {sources!r} is no list of texts")
    texts = {k: record.get(k, "") for k in _KEYS - {"source"} - _UPDATES}
    for key, value in texts.items():
        if not isinstance(value, str) or (key in _NEEDED and not value):
            raise InputError(f"{name}: {key} {value!r} is no text")
    behaviour = Behaviour(
        source=tuple(sources),
        since_updates=_updates_of(record, "since_updates", name),
        until_updates=_updates_of(record, "until_updates", name),
        **texts,
    )
    _validate_range(behaviour, name)
    return behaviour


def _updates_of(record: Mapping[str, Any], key: str, name: str) -> tuple[str, ...]:
    named = record.get(key, [])
    if not (isinstance(named, list) and all(map(_is_text, named))):
        raise InputError(f"{name}: {key} {named!r} is no list of texts")
    for text in named:
        if not stable_update(text):
            raise InputError(f"{name}: {key} {text!r} is no stable update like 6.12.5")
    return tuple(named)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _validate_keys(record: Mapping[str, Any], name: str) -> None:
    wrong = sorted((_NEEDED - record.keys()) | (record.keys() - _KEYS))
    if wrong:
        raise InputError(f"{name}: {wrong[0]!r} is missing or not a key")


def _validate_range(behaviour: Behaviour, name: str) -> None:
    if behaviour.checked not in get_args(Checked):
        allowed = ", ".join(get_args(Checked))
        raise InputError(
            f"{name}: checked {behaviour.checked!r} is not one of {allowed}"
        )
    since = parse_release(behaviour.since)
    if behaviour.until and parse_release(behaviour.until) <= since:
        raise InputError(
            f"{name}: until {behaviour.until} is not after {behaviour.since}"
        )
    for key, end in (
        ("since_updates", behaviour.since),
        ("until_updates", behaviour.until),
    ):
        for text in getattr(behaviour, key):
            if not end or parse_release(text) >= parse_release(end):
                border = key.partition("_")[0]
                raise InputError(f"{name}: {key} {text} is not before {border} {end!r}")


# Named releases and options; every other file holds behaviours.
_RELEASES_FILE = "releases.toml"

# Distributions' kernels, where they differ from the release whose number they have.
_DISTRIBUTIONS_FILE = "distributions.toml"

_SCHEMA = 1
_DISTRIBUTION_KEYS = {"name", "read_of", "shows", "lacks", "config", "checked"}
_RELEASE_KEYS = {"name", "checked", "config", "note"}
_CHECKED = ("booted", "read", "unverified")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRelease:
    """A release that the data names, with its default options."""

    key: ReleaseKey
    name: str
    checked: str
    config: Mapping[str, ConfigValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A distribution's kernel: an upstream release with what was read to differ.

    Attributes:
        name: that release, and a mark that its versions have: ``4.18-el8``.
        read_of: whose source was read, for people.
        shows, lacks: behaviours that it has and its release has not, and the reverse.
        config: options of which it has another value.
        checked: how that is known.
    """

    name: str
    read_of: str
    shows: frozenset[str]
    lacks: frozenset[str]
    config: Mapping[str, ConfigValue]
    checked: str

    def is_kernel(self, release: str) -> bool:
        """Return whether ``4.18.0-477.10.1.el8_8.x86_64`` is one of its kernels."""
        base, _, mark = self.name.partition("-")
        return parse_release(release) == parse_release(base) and bool(
            re.search(rf"(?<![0-9A-Za-z]){mark}(?![0-9A-Za-z])", release, re.ASCII)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelData:
    """Everything that is known of kernels.

    Attributes:
        behaviours: in the order of the files.
        releases: oldest first.
        distributions: those that were read, in the order of their file.
        config: every option that matters, with its default.
        series: ``2.6``, ``3`` ... to the last minor release of each.
    """

    behaviours: tuple[Behaviour, ...]
    releases: tuple[NamedRelease, ...]
    distributions: tuple[Distribution, ...]
    config: Mapping[str, ConfigValue]
    series: Mapping[str, int]


def parse_kernel_data(texts: Mapping[str, str]) -> KernelData:
    """Return what the files say.

    Args:
        texts: file name to text; ``releases.toml``, ``distributions.toml`` if there
            is one, and any number of others.

    Raises:
        InputError: a file is missing, is no TOML, or holds what it may not;
            names the file and the record.
    """
    tables = {name: _table(name, text) for name, text in sorted(texts.items())}
    top = tables.pop(_RELEASES_FILE, None)
    if top is None:
        raise InputError(f"{_RELEASES_FILE} is missing")
    config = _options(top)
    vendors = tables.pop(_DISTRIBUTIONS_FILE, None)
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
        distributions=_distributions(vendors, {b.id: b for b in behaviours}, config),
        config=MappingProxyType(config),
        series=MappingProxyType(_series(top)),
    )


def _table(name: str, text: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InputError(f"{name}: no TOML: {exc}") from exc
    if table.get("schema") != _SCHEMA:
        raise InputError(f"{name}: schema {table.get('schema')!r} is not {_SCHEMA}")
    return table


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


def _distributions(
    table: dict[str, Any] | None,
    behaviours: Mapping[str, Behaviour],
    default: dict[str, ConfigValue],
) -> tuple[Distribution, ...]:
    if table is None:
        return ()
    records = list(_records(_DISTRIBUTIONS_FILE, table, "distribution"))
    distributions = tuple(
        _distribution(record, behaviours, default) for record in records
    )
    _validate_names(
        "distribution", [distribution.name for distribution in distributions]
    )
    return distributions


def _distribution(
    record: dict[str, Any],
    behaviours: Mapping[str, Behaviour],
    default: dict[str, ConfigValue],
) -> Distribution:
    where = f"{_DISTRIBUTIONS_FILE}: distribution {record.get('name')!r}"
    wrong = sorted((record.keys() | {"config"}) ^ _DISTRIBUTION_KEYS)
    if wrong:
        raise InputError(f"{where}: {wrong[0]!r} is missing or not a key")
    if record["checked"] not in _CHECKED:
        raise InputError(
            f"{where}: checked {record['checked']!r} is none of {_CHECKED}"
        )
    key = parse_release(record["name"].partition("-")[0])
    for word, is_shown in (("shows", True), ("lacks", False)):
        for name in record[word]:
            behaviour = behaviours.get(name)
            if behaviour is None or behaviour.holds_in(key) == is_shown:
                raise InputError(f"{where}: {word} {name!r}, which is no difference")
    options = record.get("config", {})
    return Distribution(
        name=record["name"],
        read_of=record["read_of"],
        shows=frozenset(record["shows"]),
        lacks=frozenset(record["lacks"]),
        config=MappingProxyType(config_of(options, default)),
        checked=record["checked"],
    )


def _validate_names(kind: str, names: list[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{kind} {doubled[0]!r} is there twice")
