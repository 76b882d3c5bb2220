"""Values of a JSON object, each held against its type."""

import pytest

from e820pool.errors import BadImageError
from e820pool.sources.json_fields import Fields


def fields(**values):
    return Fields(values=values, where="'a.json'")


def test_values_of_the_right_type_are_given():
    found = fields(
        text="a", count=3, real=0.5, flag=True, rows=[[1, 2]], part={"x": 1}, parts=[{}]
    )
    assert found.text("text") == "a"
    assert found.word("text", ("a", "b")) == "a"
    assert found.count("count") == 3
    assert found.real("real") == 0.5
    assert found.flag("flag") is True
    assert found.rows("rows", 2) == [[1, 2]]
    assert found.part("part").count("x") == 1
    assert len(found.parts("parts")) == 1


def test_null_is_not_there():
    assert not fields(a=None).has("a")
    assert not fields().has("a")
    assert fields(a=0).has("a")


def test_control_characters_of_a_text_are_shown_as_such():
    assert fields(a="x\n\x1b[31m\ud800").text("a") == "x??[31m?"


@pytest.mark.parametrize(
    ("method", "value", "said"),
    [
        ("text", 3, "no text"),
        ("count", -1, "outside"),
        ("count", 1 << 64, "outside"),
        ("count", True, "not a whole number"),
        ("count", 0.5, "not a whole number"),
        ("real", float("inf"), "no quantity"),
        ("real", -1, "no quantity"),
        ("real", True, "no quantity"),
        ("flag", 1, "not true or false"),
        ("items", {}, "no array"),
        ("parts", [3], "no object"),
        ("part", [], "no object"),
        ("texts", ["a", 3], "no text"),
    ],
)
def test_another_type_is_refused_with_the_place_and_the_value(method, value, said):
    with pytest.raises(BadImageError) as caught:
        getattr(fields(key=value), method)("key")
    assert "'a.json': key" in str(caught.value)
    assert said in str(caught.value)


def test_what_is_missing_is_named():
    with pytest.raises(BadImageError, match=r"'a\.json': key is missing"):
        fields().text("key")


def test_a_word_that_is_not_known_lists_those_that_are():
    with pytest.raises(BadImageError, match="'c': want a, b"):
        fields(key="c").word("key", ("a", "b"))


@pytest.mark.parametrize("row", [3, [1], [1, 2, 3], [1, -1], ["1", 2]])
def test_a_row_of_another_shape_is_refused(row):
    with pytest.raises(BadImageError, match=r"key\[0\]"):
        fields(key=[row]).rows("key", 2)
