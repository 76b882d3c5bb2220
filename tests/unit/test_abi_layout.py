import numpy as np
import pytest
from construct import Array, Bytes, Int8ul, Int16sl, Int32ul, Int64ul, PascalString
from construct import Struct as ConstructStruct

from e820pool.abi.layout import (
    FieldLayout,
    build_bytes,
    dtype_of,
    fields_of,
    parse_bytes,
)
from e820pool.errors import BadImageError, InputError

INNER = ConstructStruct("x" / Int32ul, "y" / Int16sl)
OUTER = ConstructStruct(
    "first" / Int64ul,
    "pad" / Bytes(3),
    "inner" / INNER,
    "numbers" / Array(2, Int32ul),
    "many" / Array(2, INNER),
)


def test_a_dtype_is_packed_and_has_construct_sizes():
    dtype = dtype_of(OUTER)
    assert dtype.itemsize == OUTER.sizeof() == 8 + 3 + 6 + 8 + 12
    assert dtype["inner"] == np.dtype([("x", "<u4"), ("y", "<i2")])
    assert dtype.fields["many"][1] == 8 + 3 + 6 + 8


def test_a_dtype_reads_what_construct_reads():
    data = bytes(range(OUTER.sizeof()))
    row, parsed = np.frombuffer(data, dtype_of(OUTER))[0], OUTER.parse(data)
    assert row["first"] == parsed.first
    assert row["inner"]["y"] == parsed.inner.y
    assert list(row["numbers"]) == parsed.numbers
    assert row["many"][1]["x"] == parsed.many[1].x


def test_a_layout_without_fixed_size_has_no_dtype():
    with pytest.raises(TypeError, match="no fixed numpy equivalent"):
        dtype_of(ConstructStruct("text" / PascalString(Int8ul, "ascii")))


def test_fields_are_given_in_c_designators_and_recursively():
    assert fields_of(OUTER)[2:8] == (
        FieldLayout(name="inner", offset=11, size=6),
        FieldLayout(name="inner.x", offset=11, size=4),
        FieldLayout(name="inner.y", offset=15, size=2),
        FieldLayout(name="numbers", offset=17, size=8),
        FieldLayout(name="many", offset=25, size=12),
        FieldLayout(name="many[0].x", offset=25, size=4),
    )


@pytest.mark.parametrize("cut", [0, 9, 12, 36])
def test_a_cut_structure_is_refused_with_the_field_and_its_byte(cut):
    names = {0: "first", 9: "pad", 12: "inner.x", 36: "many"}
    with pytest.raises(BadImageError) as caught:
        parse_bytes(OUTER, bytes(cut), "blob")
    message = str(caught.value)
    assert message.startswith(f"blob: {cut} bytes (0x{cut:x}) end inside {names[cut]}")
    assert caught.value.__cause__ is not None


def test_a_value_that_does_not_fit_is_refused_with_its_field():
    value = {"x": 1 << 32, "y": 0}
    with pytest.raises(InputError, match=r"^it: x does not fit its field: 0x100000000"):
        build_bytes(INNER, value, "it")
