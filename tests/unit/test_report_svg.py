"""The picture as SVG: well-formed, to scale, and no deposit vanishes."""

from xml.etree import ElementTree as ET

from hypothesis import given
from strategies import any_rows

from e820pool.extents import ExtentSet
from e820pool.memory_map import MemoryMap
from e820pool.report.svg import svg_picture

SVG = "{http://www.w3.org/2000/svg}"
GIB = 1 << 30
BEFORE = MemoryMap.of([(0, 0xA0000, 1), (1 << 20, 2 * GIB, 1), (4 * GIB, 12 * GIB, 1)])
AFTER = MemoryMap.of(
    [
        (0, 0xA0000, 1),
        (1 << 20, 2 * GIB, 1),
        (4 * GIB, 6 * GIB, 1),
        (10 * GIB, 4096, 2),
        (10 * GIB + 4096, 6 * GIB - 4096, 1),
    ]
)
DEPOSITED = "#c0392b"


def drawn(*args, **options):
    return ET.fromstring(svg_picture(*args, **options))  # noqa: S314  our own text


def bars(root, colour):
    """Return the rectangles of a colour that are no legend."""
    return [
        rect
        for rect in root.iter(f"{SVG}rect")
        if rect.get("fill") == colour and rect.get("height") == "24"
    ]


def test_a_deposit_of_one_page_is_wide_enough_to_be_seen():
    (rect,) = bars(drawn(BEFORE, AFTER), DEPOSITED)
    assert float(rect.get("width")) >= 2
    tip = rect.find(f"{SVG}title").text
    assert tip == "[mem 0x280000000-0x280000fff] deposited, 4 KiB"
    # Half of the way from 4 to 16 GiB.
    assert abs(float(rect.get("x")) - (84 + 860 / 2)) < 2


def test_deposits_may_be_given():
    root = drawn(BEFORE, deposits=ExtentSet([(0x200, 0x201), (0x200000, 0x300000)]))
    assert len(bars(root, DEPOSITED)) == 2


def test_a_map_without_deposits_has_no_such_colour():
    assert DEPOSITED not in svg_picture(BEFORE)
    assert "before" not in svg_picture(BEFORE)


def test_a_title_of_any_text_is_escaped():
    root = drawn(BEFORE, title='<script>&"\x00\x1b\n')
    assert root.find(f"{SVG}text").text == '<script>&"???'


@given(any_rows(), any_rows())
def test_any_two_maps_give_a_well_formed_picture_within_its_frame(one, two):
    root = drawn(MemoryMap.of(one), MemoryMap.of(two))
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter(f"{SVG}rect"):
        x, y = float(rect.get("x", "0")), float(rect.get("y", "0"))
        assert 0 <= x <= x + float(rect.get("width")) <= width + 0.01
        assert 0 <= y <= y + float(rect.get("height")) <= height
