"""Read the package's own JSON: the head that all kinds share, and plain numbers."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from e820pool.errors import BadImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "SCHEMA",
    "one_line",
    "parse_document",
    "parse_kinds",
    "shown_value",
    "whole_number",
)

SCHEMA = 1
"""The newest schema that is understood."""

# Longer texts are cut; a path or a sentence has less.
_TEXT_LIMIT = 500

# Python refuses longer digits with a ValueError of its own; 2^64 has 20.
_DIGITS = 32


def parse_document(
    text: str, kind: str, origin: str, *, has_schema: bool = True
) -> dict[str, Any]:
    """Return the object in ``text``, its head checked.

    Args:
        text: one JSON document.
        kind: what ``"kind"`` must be; an object without the key is taken as such.
        origin: the name of the source, for messages.
        has_schema: whether an object without ``"schema"`` is refused; a newer one
            always is.

    Raises:
        BadImageError: no JSON, no object, another kind or a newer schema.
    """
    found = _object_of(text, origin, has_schema=has_schema)
    if found.get("kind", kind) != kind:
        raise BadImageError(
            f"{origin!r} is of kind {shown_value(found['kind'])}, not {kind!r}"
        )
    return found


def parse_kinds(
    text: str, kinds: Mapping[str, str], origin: str
) -> tuple[str, dict[str, Any]]:
    """Return the kind of the object in ``text``, one of ``kinds``, and the object.

    Args:
        text: one JSON document.
        kinds: and what makes each, for messages.
        origin: the name of the source, for messages.

    Raises:
        BadImageError: no JSON, no object, a kind of none of these or a newer schema.
    """
    found = _object_of(text, origin)
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        told = "has no kind" if kind is None else f"is of kind {shown_value(kind)}"
        wanted = (f"{name} of {maker}" for name, maker in kinds.items())
        raise BadImageError(f"{origin!r} {told}: want {', '.join(wanted)}")
    return kind, found


def _object_of(text: str, origin: str, *, has_schema: bool = True) -> dict[str, Any]:
    try:
        found = json.loads(
            text,
            parse_int=_parse_int,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_repeats,
        )
    except RecursionError as exc:
        raise BadImageError(f"{origin!r}: JSON is nested too deeply") from exc
    except ValueError as exc:
        raise BadImageError(f"{origin!r} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise BadImageError(f"{origin!r} holds a JSON {_name(found)}, not an object")
    if not has_schema and "schema" not in found:
        return found
    schema = whole_number(found.get("schema"), f"{origin!r}: schema", 1 << 32)
    if schema != SCHEMA:
        raise BadImageError(
            f"{origin!r} has schema {schema:#x}: this version reads {SCHEMA:#x}"
        )
    return found


def whole_number(value: object, what: str, limit: int) -> int:
    """Return ``value`` if it is an integer in ``[0, limit)``; else BadImageError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadImageError(f"{what} is {_name(value)}, not a whole number")
    if not 0 <= value < limit:
        raise BadImageError(f"{what} is {value:#x}: outside [0, {limit:#x})")
    return value


def shown_value(value: object) -> str:
    """Return the start of a value as Python writes it, on one line."""
    return repr(value)[:40]


def one_line(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Return a text of another's making fit to be printed: one line, no controls."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])


def _parse_int(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, the limit is {_DIGITS}")
    return int(digits)


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise ValueError(f"key {twice[:40]!r} is given twice")
    return found


def _name(value: object) -> str:
    names = {type(None): "null", bool: "boolean", str: "string", list: "array"}
    return names.get(type(value), shown_value(value))
