"""One difference in how kernels read a handoff, and its record in the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from e820pool.errors import InputError
from e820pool.kernel.release import ReleaseKey, parse_release, stable_update

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Behaviour", "Checked", "behaviour_of")

Checked = Literal["booted", "read", "unverified"]
"""Seen in a boot, read in the source, or from memory or inference."""

# The stable updates that took the change, and those that lost it.
_UPDATES = {"since_updates", "until_updates"}
_KEYS = {"id", "what", "since", "until", "source", "checked", "note"} | _UPDATES
_NEEDED = _KEYS - {"until", "note"} - _UPDATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """State one way of reading, and the releases that read so.

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
    found = Behaviour(
        source=tuple(sources),
        since_updates=_updates_of(record, "since_updates", name),
        until_updates=_updates_of(record, "until_updates", name),
        **texts,
    )
    _validate_range(found, name)
    return found


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


def _validate_range(found: Behaviour, name: str) -> None:
    if found.checked not in get_args(Checked):
        allowed = ", ".join(get_args(Checked))
        raise InputError(f"{name}: checked {found.checked!r} is not one of {allowed}")
    since = parse_release(found.since)
    if found.until and parse_release(found.until) <= since:
        raise InputError(f"{name}: until {found.until} is not after {found.since}")
    for key, end in (("since_updates", found.since), ("until_updates", found.until)):
        for text in getattr(found, key):
            if not end or parse_release(text) >= parse_release(end):
                border = key.partition("_")[0]
                raise InputError(f"{name}: {key} {text} is not before {border} {end!r}")
