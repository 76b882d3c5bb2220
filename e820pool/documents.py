"""JSON documents of this package: one definition writes, reads and validates each."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import msgspec
import numpy as np
from msgspec.inspect import (
    CustomType,
    DataclassType,
    LiteralType,
    NoneType,
    StructType,
    TupleType,
    UnionType,
    type_info,
)

from e820pool.errors import BadImageError, InputError
from e820pool.extents import MAX_PFN, ExtentSet
from e820pool.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = (
    "SCHEMA",
    "CheckedRow",
    "Count",
    "Document",
    "FindingDocument",
    "Number",
    "Pair",
    "Part",
    "Positive",
    "Quantity",
    "document_line",
    "document_text",
    "json_line",
    "kind_of",
    "parse_object",
    "printable",
    "read_document",
    "read_kind",
    "shown_value",
    "value_of",
    "value_to",
)

SCHEMA = 1
"""The schema number that is written, and the newest that is understood."""

# Python refuses longer digits with a ValueError of its own; 2^64 has 20.
_DIGITS = 32
_U64_LIMIT = 1 << 64
_BLANKS = dict.fromkeys(map(ord, "\n\r\t"))
# Kinds of values as msgspec names them, `int | null`, and as we do.
_KIND = re.compile(r"`([^`]*)`")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
}
_SIMPLE = (NoneType, CustomType)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")

Count = Annotated[int, msgspec.Meta(ge=0)]
"""A whole number below 2^64."""
Quantity = Annotated[float, msgspec.Meta(ge=0)]
"""A finite number, not below zero."""
Number = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)]
"""Either of the two, as it is written."""
Pair = tuple[Count, Count]
"""``[base_pfn, nr_pages]``, or ``[start, size]`` in bytes."""
Positive = Annotated[int, msgspec.Meta(ge=1)]
"""A whole number above 0 and below 2^64."""
_Pages = tuple[Count, Positive]
CheckedRow = tuple[Count, Count, Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]]
"""``[addr, size, type]`` of an entry."""

_T = TypeVar("_T")
_D = TypeVar("_D", bound="Document")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """An object within a document; its fields are the keys, in their order."""

    @classmethod
    def of_attributes(cls, source: object, **others: Any) -> Self:
        """Return the part whose fields are the attributes of ``source``, and others."""
        names = (name for name in cls.__struct_fields__ if name not in others)
        same = {name: getattr(source, name) for name in names if hasattr(source, name)}
        return cls(**same, **others)


class Document(Part, frozen=True, kw_only=True, tag_field="kind"):
    """A document, whose tag is the ``kind`` that stands in it after ``schema``."""


class FindingDocument(Part, frozen=True, kw_only=True):
    """A finding; ``extents`` are ``[base_pfn, nr_pages]``."""

    id: str
    level: Level
    message: str
    source: str = ""
    extents: tuple[Pair, ...] = ()

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """Return the document of a finding."""
        pages = tuple((start, end - start) for start, end in finding.extents)
        return cls.of_attributes(finding, extents=pages)

    def __post_init__(self) -> None:
        for start, count in self.extents:
            if not 0 < count <= MAX_PFN - start:
                raise ValueError(
                    f"extents: [{start:#x}, {count:#x}] is empty, or beyond the limit, "
                    f"PFN {MAX_PFN:#x}"
                )

    def finding(self) -> Finding:
        """Return the finding."""
        return Finding(
            id=self.id,
            level=self.level,
            message=self.message,
            source=self.source,
            extents=tuple((start, start + count) for start, count in self.extents),
        )

    @classmethod
    def all_of(cls, findings: Iterable[Finding]) -> tuple[Self, ...]:
        """Return the documents of findings."""
        return tuple(cls.of(finding) for finding in findings)


def value_of(value: Any) -> Any:
    """Return a document, or a part of one, as plain values."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_plain))
    except UnicodeEncodeError:
        # Half of a surrogate pair: a file's name may be no UTF-8.
        plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_plain)
        return json.loads(json.dumps(plain))


def document_text(document: Document) -> str:
    """Return a document that people can read: rows of numbers stay on one line."""
    value = {"schema": SCHEMA, **value_of(document)}
    parts = (f"  {json_line(key)}: {_lines(part)}" for key, part in value.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def document_line(document: Document) -> str:
    """Return a document on one line, without a newline."""
    return json_line({"schema": SCHEMA, **value_of(document)})


def json_line(value: Any) -> str:
    """Return one value on one line, without a newline."""
    return json.dumps(value, separators=(", ", ": "), ensure_ascii=True)


def read_document(
    text: str, kinds: Mapping[type[Document], str], origin: str
) -> Document:
    """Return the document in ``text``.

    Args:
        text: one JSON document.
        kinds: the types that it may be of, and what makes each, for messages.
        origin: the name of the source, for messages.

    Raises:
        BadImageError: no JSON, another kind, a newer schema, or a value that is
            missing or of another form, which the message names and shows.
    """
    document = parse_object(text, origin)
    tags = {kind_of(form): (form, maker) for form, maker in kinds.items()}
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in tags:
        problem = "has no kind" if kind is None else f"is of kind {shown_value(kind)}"
        choices = (f"{name} of {maker}" for name, (_, maker) in tags.items())
        raise BadImageError(f"{origin!r} {problem}: want {', '.join(choices)}")
    return value_to(tags[kind][0], document, repr(origin))


def read_kind(
    text: str, form: type[_D], origin: str, *, needs_schema: bool = True
) -> _D:
    """Return the document in ``text``, which may leave ``kind`` out.

    Args:
        text: one JSON document.
        form: its type.
        origin: the name of the source, for messages.
        needs_schema: whether ``schema`` may be left out, too.

    Raises:
        BadImageError: as :func:`read_document` does.
    """
    document = parse_object(text, origin, needs_schema=needs_schema)
    kind = kind_of(form)
    if document.get("kind", kind) != kind:
        raise BadImageError(
            f"{origin!r} is of kind {shown_value(document['kind'])}, not {kind!r}"
        )
    return value_to(form, document, repr(origin))


def value_to(form: type[_T], value: Any, where: str) -> _T:
    """Return plain values, as JSON has them, as the type ``form``.

    Raises:
        BadImageError: a value is missing or of another form; ``where`` begins the
            message.
    """
    try:
        return msgspec.convert(value, form, dec_hook=_domain_value)
    except msgspec.ValidationError as exc:
        raise BadImageError(_our_message(str(exc), value, form, where)) from exc


def parse_object(
    text: str, origin: str, *, needs_schema: bool = True
) -> dict[str, Any]:
    """Return the object in ``text``, its schema checked.

    Args:
        text: one JSON document.
        origin: the name of the source, for messages.
        needs_schema: whether an object without ``schema`` is refused; a newer one
            always is.

    Raises:
        BadImageError: no JSON, no object, a repeated key, a number of 2^64 or more, or
            a newer schema.
    """
    try:
        document = json.loads(
            text,
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_repeats,
        )
    except RecursionError as exc:
        raise BadImageError(f"{origin!r}: JSON is nested too deeply") from exc
    except _LimitError as exc:
        raise BadImageError(f"{origin!r}: {exc}") from exc
    except ValueError as exc:
        raise BadImageError(f"{origin!r} is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise BadImageError(f"{origin!r} holds a JSON {_name(document)}, not an object")
    if needs_schema or "schema" in document:
        _validate_schema(document, origin)
    # A long table has no text to look through.
    if "\\" not in text and text.translate(_BLANKS).isprintable():
        return document
    try:
        return {_printable(key): _printable(value) for key, value in document.items()}
    except RecursionError as exc:
        raise BadImageError(f"{origin!r}: JSON is nested too deeply") from exc


def printable(text: str) -> str:
    """Return untrusted text on one line, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shown_value(value: object) -> str:
    """Return the start of a value as Python writes it, on one line."""
    return repr(value)[:40]


def _validate_schema(document: dict[str, Any], origin: str) -> None:
    if "schema" not in document:
        raise BadImageError(f"{origin!r}: schema is missing")
    schema = document["schema"]
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise BadImageError(f"{origin!r}: schema is {_name(schema)}, no whole number")
    if schema != SCHEMA:
        raise BadImageError(
            f"{origin!r} has schema {schema:#x}: this version reads {SCHEMA:#x}"
        )


# A list of rows is one row a line.
def _lines(part: Any) -> str:
    if not isinstance(part, (list, tuple)) or not part:
        return json_line(part)
    return "[\n" + ",\n".join(f"    {json_line(row)}" for row in part) + "\n  ]"


def kind_of(form: type[Document]) -> str:
    """Return the ``kind`` that stands in documents of a type."""
    return str(form.__struct_config__.tag)


# What the types of other rooms are in JSON, and back.
def _plain(value: Any) -> Any:
    if isinstance(value, ExtentSet):
        return [list(pair) for pair in value.pairs()]
    if isinstance(value, np.integer):
        return int(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _domain_value(form: type, value: Any) -> Any:
    if form is not ExtentSet:
        raise TypeError(f"{form.__name__} has no form in JSON")
    try:
        pairs = msgspec.convert(value, tuple[_Pages, ...])
        return ExtentSet((start, start + count) for start, count in pairs)
    except (InputError, msgspec.ValidationError) as exc:
        # Without the place within it: the outer message has the outer place.
        reason = str(exc).partition(" - at")[0].replace("`", "")
        raise ValueError(
            f"{shown_value(value)} are no rows of [base_pfn, nr_pages]: {reason}"
        ) from exc


# The message of msgspec in our words: the place, the value there, and what is wanted.
def _our_message(message: str, value: Any, form: Any, where: str) -> str:
    text, _, path = message.partition(" - at `$")
    place = path.rstrip("`")
    if text.startswith("Invalid enum value"):
        text = f"want {', '.join(_words_at(type_info(form), _STEP.findall(place)))}"
    for key, at in _STEP.findall(place):
        if at != "...":
            value = value[key] if key else value[int(at)]
    missing = re.fullmatch(r"Object missing required field `(.*)`", text)
    if missing:
        place += f".{missing[1]}"
    place = ": ".join(filter(None, (where, place.lstrip("."))))
    if missing:
        return f"{place} is missing"
    if not text.startswith(("Expected", "want ")):
        return f"{place}: {text}"
    text = text.partition(", got")[0].replace("Expected", "want")
    return f"{place} is {shown_value(value)}: {_KIND.sub(_kinds, text)}"


def _kinds(match: re.Match[str]) -> str:
    names = (name for name in match[1].split(" | ") if name != "null")
    return " or ".join(_KINDS.get(name, name) for name in names)


# The words that a place can have: the way to it, through the types on it.
def _words_at(kind: Any, steps: list[tuple[str, str]]) -> list[str]:
    if isinstance(kind, UnionType):
        inner = (member for member in kind.types if not isinstance(member, _SIMPLE))
        return _words_at(next(inner, None), steps)
    if isinstance(kind, LiteralType):
        return [str(value) for value in kind.values]
    if not steps:
        return []
    (key, _), *inner_steps = steps
    if isinstance(kind, (StructType, DataclassType)):
        types = {field.encode_name: field.type for field in kind.fields}
        return _words_at(types.get(key), inner_steps)
    if isinstance(kind, TupleType):
        return []
    return _words_at(getattr(kind, "item_type", None), inner_steps)


# Texts are other people's: what a terminal would obey is shown as a mark.
def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return value


class _LimitError(ValueError):
    """A number that is JSON, and more than any document of ours has."""


def _parse_int(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, the limit is {_DIGITS}")
    number = int(digits)
    if number >= _U64_LIMIT:
        raise _LimitError(f"{number:#x} is beyond the limit {_U64_LIMIT - 1:#x}")
    return number


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {twice[:40]!r} is given twice")
    return members


def _name(value: object) -> str:
    names = {type(None): "null", bool: "boolean", str: "string", list: "array"}
    return names.get(type(value), shown_value(value))
