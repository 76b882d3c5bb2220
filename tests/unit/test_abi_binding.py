from dataclasses import dataclass, fields, is_dataclass

import pytest
from construct import Bytes, Int8ul, Int16ul

from e820pool.abi import boot_params, setup_data
from e820pool.abi.binding import at, encode_value, parse_value, struct_of
from e820pool.errors import BadImageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Two numbers."""

    x: int = at(0x10, Int8ul)
    y: int = at(0x11, Int16ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Of everything that a field can be."""

    origin: Point = at(0, Point)  # noqa: RUF009  it is dataclasses.field
    corners: tuple[Point, ...] = at(3, Point, count=2)
    tags: tuple[int, ...] = at(9, Int8ul, count=2)
    kept: bytes = at(11, Int16ul, count=2, raw=True)
    pad: bytes = at(15, Bytes(1))


BOUND = [
    cls
    for module in (boot_params, setup_data)
    for cls in vars(module).values()
    if is_dataclass(cls) and all("place" in f.metadata for f in fields(cls))
]


def test_bytes_become_values_of_the_declared_shape():
    shape = parse_value(Shape, bytes(range(16)), "shape")
    assert shape == Shape(
        origin=Point(x=0, y=0x0201),
        corners=(Point(x=3, y=0x0504), Point(x=6, y=0x0807)),
        tags=(9, 10),
        kept=bytes([11, 12, 13, 14]),
        pad=b"\x0f",
    )
    assert encode_value(shape, "shape") == bytes(range(16))


def test_a_value_is_zero_unless_given():
    assert encode_value(Shape(), "shape") == bytes(16)


def test_values_compare_and_hash():
    assert hash(Shape()) == hash(parse_value(Shape, bytes(16), "shape"))
    assert Shape() != Shape(pad=b"1")


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (15, "shape: 15 bytes (0xf) end inside pad at byte 0xf"),
        (0, "shape: 0 bytes (0x0) end inside origin.x at byte 0x0"),
        (17, "shape: got 17 bytes (0x11), want 16"),
    ],
)
def test_another_length_is_refused(length, message):
    with pytest.raises(BadImageError) as caught:
        parse_value(Shape, bytes(length), "shape")
    assert str(caught.value) == message


def test_a_wrong_offset_in_a_declaration_is_found():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Gap:
        x: int = at(0, Int8ul)
        y: int = at(2, Int8ul)

    with pytest.raises(TypeError, match=r"Gap\.y is declared at 0x2, but .* at 0x1"):
        struct_of(Gap)


@pytest.mark.parametrize("cls", BOUND, ids=lambda cls: cls.__name__)
def test_the_values_have_the_fields_of_their_construct(cls):
    names = [sub.name for sub in struct_of(cls).subcons]
    assert names == [f.name for f in fields(cls)]
