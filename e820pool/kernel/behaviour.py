"""One difference in how kernels read a handoff, and its record in the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from e820pool.errors import InputError
from e820pool.kernel.release import ReleaseKey, parse_release

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Behaviour", "Checked", "behaviour_of")

Checked = Literal["booted", "read", "unverified"]
"""Seen in a boot, read in the source, or from memory or inference."""

_KEYS = {"id", "what", "since", "until", "source", "checked", "note"}
_NEEDED = _KEYS - {"until", "note"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """State one way of reading, and the releases that read so.

    Attributes:
        id: what :meth:`Profile.has` is asked for.
        what: one sentence.
        since: the first release that does it.
        until: the first release that no longer does it, "" when all later do.
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

    def holds_in(self, release: ReleaseKey) -> bool:
        """Return whether a kernel of that release behaves so."""
        if release < parse_release(self.since):
            return False
        return not self.until or release < parse_release(self.until)


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
    texts = {k: record.get(k, "") for k in _KEYS - {"source"}}
    for key, value in texts.items():
        if not isinstance(value, str) or (key in _NEEDED and not value):
            raise InputError(f"{name}: {key} {value!r} is no text")
    found = Behaviour(source=tuple(sources), **texts)
    _validate_range(found, name)
    return found


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
