"""/proc/buddyinfo and /proc/pagetypeinfo."""

import time
from pathlib import Path

import pytest

from e820pool.errors import BadImageError, InputError
from e820pool.sources.buddyinfo import parse_free_blocks, read_free_blocks

REAL = Path(__file__).parents[1] / "data" / "buddyinfo" / "one-node.txt"
BUDDYINFO = """\
Node 0, zone      DMA      1      0      1
Node 0, zone   Normal    100     20      3
Node 1, zone   Normal      7      0      2
"""
KINDS = """\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2
Node    0, zone   Normal, type    Unmovable     60      5      0
Node    0, zone   Normal, type      Movable     39     15      3
Node    1, zone   Normal, type    Unmovable >100000      0      1

Number of blocks type     Unmovable      Movable
Node 0, zone   Normal          144         1936
"""


def test_a_line_is_a_zone_with_a_count_an_order():
    zones = parse_free_blocks(BUDDYINFO)
    assert [(z.node, z.zone, z.total, z.own) for z in zones] == [
        (0, "DMA", (1, 0, 1), None),
        (0, "Normal", (100, 20, 3), None),
        (1, "Normal", (7, 0, 2), None),
    ]
    assert zones[1].nr_pages == 100 + 2 * 20 + 4 * 3


def test_kinds_are_those_of_pagetypeinfo():
    zones = {(z.node, z.zone): z for z in parse_free_blocks(BUDDYINFO + KINDS)}
    assert zones[0, "Normal"].own == (60, 5, 0)
    assert zones[0, "Normal"].total == (100, 20, 3)
    assert zones[0, "DMA"].own is None


def test_pagetypeinfo_alone_adds_its_kinds_up():
    zones = parse_free_blocks(KINDS)
    assert zones[0].total == (99, 20, 3)
    assert zones[1].own == (100_000, 0, 1)


def test_the_files_of_a_real_host_are_read():
    zones = read_free_blocks(REAL)
    assert [z.zone for z in zones] == ["DMA", "DMA32", "Normal"]
    for zone in zones:
        assert len(zone.total) == 11
        assert zone.own is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line"),
        ("Node 0, zone Normal  \n", "line 1: zone 'Normal' has no counts"),
        (BUDDYINFO + "Node 0, zone Movable   \n", "line 4: zone 'Movable' has no"),
        ("Node 0, zone Normal 1 2 x\n", "'x' is no count"),
        ("Node x, zone Normal 1 2\n", "node 'x' is no number"),
        (BUDDYINFO + BUDDYINFO, "node 0 zone DMA twice"),
        ("Node 0, zone Normal " + "1 " * 33 + "\n", "33 orders: the limit is 32"),
        ("Node 0, zone Normal " + "9" * 30 + "\n", "the limit is 0x10000000000"),
    ],
)
def test_what_is_no_buddyinfo_is_refused(text, message):
    with pytest.raises(BadImageError, match=message):
        parse_free_blocks(text, "x")


def test_a_file_that_is_not_there_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_free_blocks(tmp_path / "none")


def test_a_line_of_blanks_takes_linear_time():
    """A pattern with overlapping repeats hung on 60 KB of them."""

    def taken(size):
        text = BUDDYINFO + "Node 0, zone Normal" + " " * size + "x\n"
        start = time.process_time()
        with pytest.raises(BadImageError, match="no count"):
            parse_free_blocks(text)
        return time.process_time() - start

    assert taken(1 << 22) < 40 * max(taken(1 << 19), 0.001)


def test_a_name_that_is_no_text_is_shown_without_control_characters():
    with pytest.raises(BadImageError) as caught:
        parse_free_blocks("Node 0, zone N\x8c\x01 1 2\nNode 0, zone N\x8c\x01 1 2\n")
    assert str(caught.value).isprintable()


ZONEINFO = """\
Node 0, zone   Normal
  per-node stats
      nr_inactive_anon 7
  pages free     170
        min      3
        low      6
        high     9
  pagesets
    cpu: 0
              count: 30
              high:  378
              batch: 63
    cpu: 1
              count: 12
              high:  378
Node 1, zone  Movable
  pages free     0
"""


def test_pages_on_the_lists_of_processors_are_read_from_zoneinfo():
    squeezed = "\n".join(" ".join(line.split()) for line in ZONEINFO.splitlines()[3:])
    for text in (ZONEINFO, "Node 0, zone Normal\n" + squeezed):
        normal, other = parse_free_blocks(BUDDYINFO + KINDS + text)[1:]
        assert (normal.zone, normal.listed, normal.low) == ("Normal", 42, 6)
        assert (normal.total, normal.own) == ((100, 20, 3), (60, 5, 0))
        assert other.listed is None


def test_zoneinfo_alone_says_nothing_of_free_blocks():
    with pytest.raises(BadImageError, match=r"no line of /proc/buddyinfo"):
        parse_free_blocks(ZONEINFO)
    bad = ZONEINFO.replace("count: 30", "count: x")
    with pytest.raises(BadImageError, match="'x' is no count"):
        parse_free_blocks(BUDDYINFO + bad)


def test_pageblocks_of_the_kernels_own_kind_are_read_from_pagetypeinfo():
    blocks = "Number of blocks type Unmovable Movable\nNode 0, zone Normal 70 463\n"
    mixed = "Number of mixed blocks Unmovable Movable\nNode 0, zone Normal 7 9\n"
    for text in (blocks, blocks + "\n" + mixed):
        normal, other = parse_free_blocks(BUDDYINFO + KINDS + text)[1:]
        assert (normal.own_blocks, other.own_blocks) == (70, None)
        assert (normal.total, normal.own) == ((100, 20, 3), (60, 5, 0))
