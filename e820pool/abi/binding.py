"""Bind a frozen dataclass to a construct: each field declares its place once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from construct import Array, Bytes, Construct, FormatField, Struct

from e820pool.abi.layout import build_bytes, parse_bytes
from e820pool.errors import BadImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    Decoder = Callable[[Any], Any]

__all__ = (
    "at",
    "encode_value",
    "parse_value",
    "struct_of",
)

T = TypeVar("T")

_FEW = 50

# Constructs whose parsed value is already the value that the dataclass holds.
_PLAIN = (FormatField, Bytes)


def at(
    offset: int,
    of: Any,
    *,
    count: int = 0,
    raw: bool = False,
) -> Any:
    """Declare a dataclass field that lies at ``offset`` and is zero unless given.

    Args:
        offset: in bytes, as the kernel's documents count it; only its distance to
            the structure's first field matters, and it is checked.
        of: a construct, or a dataclass whose fields are declared with ``at``.
        count: the number of elements when the field is an array of ``of``; its
            value is then a tuple.
        raw: keep the field as ``bytes``, whatever its layout.
    """
    place = _Place(offset=offset, of=of, count=count, raw=raw)
    return field(default=place.zero(), metadata={"place": place})


def struct_of(cls: type) -> Struct:
    """Return the construct definition of a bound dataclass, arrays in full."""
    return _binding_of(cls).definition


def parse_value(cls: type[T], data: bytes, label: str) -> T:
    """Return the value that ``data`` holds in exactly its size.

    Raises:
        BadImageError: another length; the message calls the data ``label``.
    """
    binding = _binding_of(cls)
    want = binding.stored.sizeof()
    if len(data) < want:
        # Leave the message, with the field that is cut, to the definition: the
        # compiled parser does not notice when bytes are missing.
        parse_bytes(binding.definition, data, label)
    if len(data) > want:
        raise BadImageError(
            f"{label}: got {len(data)} bytes (0x{len(data):x}), want {want}",
        )
    value: T = binding.decode(parse_bytes(binding.parser(), data, label))
    return value


def encode_value(value: object, label: str) -> bytes:
    """Return the bytes of a bound dataclass value.

    Raises:
        InputError: a field's value does not fit it.
    """
    return build_bytes(_binding_of(type(value)).stored, _plain(value), label)


# What `at` leaves in a dataclass field's metadata, under the key "place".
@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    offset: int
    of: Any
    count: int
    raw: bool

    def layout(self) -> Construct:
        element = self.of if isinstance(self.of, Construct) else struct_of(self.of)
        return Array(self.count, element) if self.count else element

    # The form that is parsed: as the layout, but for bulk that is kept verbatim.
    def stored(self) -> Construct:
        return Bytes(self.layout().sizeof()) if self.raw else self.layout()

    def zero(self) -> Any:
        if self.raw or isinstance(self.of, Bytes):
            return bytes(self.layout().sizeof())
        element = 0 if isinstance(self.of, Construct) else self.of()
        return (element,) * self.count if self.count else element

    # How the parsed field becomes the dataclass's value; None when it already is.
    def decoder(self) -> Decoder | None:
        if self.raw or (isinstance(self.of, _PLAIN) and not self.count):
            return None
        if isinstance(self.of, Construct):
            return tuple
        decode = _binding_of(self.of).decode
        return (lambda items: tuple(map(decode, items))) if self.count else decode


# One dataclass and the constructs that its fields add up to, each made when first
# needed: compiling costs milliseconds and a mere import should not.
class _Binding:
    def __init__(self, cls: Any) -> None:
        self.cls = cls
        self._parsed = 0
        self.places: dict[str, _Place] = {
            f.name: f.metadata["place"] for f in fields(cls)
        }

    @cached_property
    def definition(self) -> Struct:
        self._validate_offsets()
        return Struct(*(n / place.layout() for n, place in self.places.items()))

    @cached_property
    def stored(self) -> Struct:
        return Struct(*(n / place.stored() for n, place in self.places.items()))

    # Compiling costs as much as sixty parses: a short command does fewer.
    def parser(self) -> Construct:
        self._parsed += 1
        return self.stored if self._parsed <= _FEW else self._compiled

    @cached_property
    def _compiled(self) -> Construct:
        return self.stored.compile()

    @cached_property
    def decode(self) -> Decoder:
        cls, names = self.cls, tuple(self.places)
        decoders = ((name, place.decoder()) for name, place in self.places.items())
        special = [(name, convert) for name, convert in decoders if convert]

        def decode(container: Any) -> Any:
            values = {name: container[name] for name in names}
            for name, convert in special:
                values[name] = convert(values[name])
            return cls(**values)

        return decode

    def _validate_offsets(self) -> None:
        reached = next(iter(self.places.values())).offset
        for name, place in self.places.items():
            if place.offset != reached:
                raise TypeError(
                    f"{self.cls.__name__}.{name} is declared at {place.offset:#x},"
                    f" but the fields before it end at {reached:#x}",
                )
            reached += place.layout().sizeof()


_bindings = cache(_Binding)


def _binding_of(cls: Any) -> _Binding:
    return _bindings(cls)


# The mapping that construct builds from.
def _plain(item: Any) -> Any:
    if is_dataclass(item):
        return {f.name: _plain(getattr(item, f.name)) for f in fields(item)}
    if isinstance(item, tuple):
        return [_plain(element) for element in item]
    return item
