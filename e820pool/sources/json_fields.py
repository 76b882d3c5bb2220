"""Take the values of a JSON object by their keys, each held against its type."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from e820pool.errors import BadImageError
from e820pool.sources.json_text import one_line, shown_value, whole_number

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ("Fields",)

_U64_LIMIT = 1 << 64
# A finding's message is shorter; what is longer is cut where a reader sees it.
_LONGEST = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Hold an object of a document and the words for where it stands.

    Each method raises BadImageError where the key is missing or its value is of
    another type.
    """

    values: dict[str, Any]
    where: str

    @classmethod
    def of(cls, value: object, where: str) -> Self:
        """Return the fields of a value, which must be an object."""
        if not isinstance(value, dict):
            raise BadImageError(f"{where} is {shown_value(value)}, no object")
        return cls(values=value, where=where)

    def text(self, key: str) -> str:
        """Return a string on one line, without control characters."""
        return self._text(self._value(key), key)

    def word(self, key: str, known: Collection[str]) -> str:
        """Return a string that is one of the known ones."""
        found = self.text(key)
        if found not in known:
            raise BadImageError(
                f"{self._named(key)} is {shown_value(found)}: want {', '.join(known)}"
            )
        return found

    def count(self, key: str) -> int:
        """Return a whole number below 2^64."""
        return whole_number(self._value(key), self._named(key), _U64_LIMIT)

    def real(self, key: str) -> float:
        """Return a finite number, not below zero."""
        found = self._value(key)
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            value = float(found)
            if math.isfinite(value) and value >= 0:
                return value
        raise BadImageError(f"{self._named(key)} is {shown_value(found)}, no quantity")

    def flag(self, key: str) -> bool:
        """Return a boolean."""
        found = self._value(key)
        if not isinstance(found, bool):
            raise BadImageError(
                f"{self._named(key)} is {shown_value(found)}, not true or false"
            )
        return found

    def has(self, key: str) -> bool:
        """Return whether the key is there with anything but null."""
        return self.values.get(key) is not None

    def items(self, key: str) -> list[Any]:
        """Return an array as it is."""
        found = self._value(key)
        if not isinstance(found, list):
            raise BadImageError(f"{self._named(key)} is {shown_value(found)}, no array")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an array of strings."""
        return tuple(
            self._text(value, f"{key}[{at}]")
            for at, value in enumerate(self.items(key))
        )

    def parts(self, key: str) -> list[Fields]:
        """Return an array of objects."""
        return [
            Fields.of(value, f"{self._named(key)}[{at}]")
            for at, value in enumerate(self.items(key))
        ]

    def part(self, key: str) -> Fields:
        """Return an object."""
        return Fields.of(self._value(key), self._named(key))

    def rows(self, key: str, width: int) -> list[list[int]]:
        """Return an array of rows of so many whole numbers below 2^64."""
        return [
            self._row(key, at, row, width) for at, row in enumerate(self.items(key))
        ]

    def _row(self, key: str, at: int, row: object, width: int) -> list[int]:
        where = f"{self._named(key)}[{at}]"
        if not isinstance(row, list) or len(row) != width:
            raise BadImageError(
                f"{where} is {shown_value(row)}, not a row of {width} numbers"
            )
        return [whole_number(value, where, _U64_LIMIT) for value in row]

    def _text(self, value: object, key: str) -> str:
        if not isinstance(value, str):
            raise BadImageError(f"{self._named(key)} is {shown_value(value)}, no text")
        return one_line(value, _LONGEST)

    def _value(self, key: str) -> object:
        if key not in self.values:
            raise BadImageError(f"{self._named(key)} is missing")
        return self.values[key]

    def _named(self, key: str) -> str:
        return f"{self.where}: {key}"
