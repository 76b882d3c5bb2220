"""Rival encodings: what each writes, and what the strict writer makes of it."""

import pytest
from compat_cases import check

from e820pool.deposits import DepositLedger
from e820pool.errors import CapacityError, InputError
from e820pool.extents import ByteRangeSet, Span
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.encodings import ENCODINGS
from e820pool.handoff.encodings.carved import E820_TYPE_POOL
from e820pool.handoff.encodings.whole_ram import joined_to
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap

pytest.importorskip("libfdt", reason="pip install pylibfdt")

MIB, PAGE = 1 << 20, 4096
WINDOW = Span(16 * MIB, 80 * MIB)
ROWS = ((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2), (MIB, 511 * MIB, 1))
# Six, and so far apart that KASLR finds room between and under them.
DEPOSITS = [(at * MIB, at * MIB + 3 * PAGE) for at in (128, 200, 260, 320, 380, 440)]


def built(name, ranges=DEPOSITS, **options):
    ledger = DepositLedger.of_ranges(ranges)
    return build_handoff(
        MemoryMap.of(ROWS), ledger, BuildOptions(encoding=name, **options)
    )


def with_window(handoff):
    """Return what a model needs to know of a kernel, for KASLR: its window."""
    from dataclasses import replace

    return replace(handoff, kernel_window=WINDOW)


def verdict(name, release):
    handoff = with_window(built(name))
    return check(handoff, profile_for(release))


def bytes_of(handoff, kind):
    """Return what entries of a type name, whatever lies over them."""
    rows = handoff.table.entries
    rows = rows[rows["type"] == kind]
    return ByteRangeSet.from_bounds(rows["addr"], rows["addr"] + rows["size"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("split", 2),
        ("pmem-7", 7),
        ("pram-12", 12),
        ("kern-128", 128),
        ("new-type", E820_TYPE_POOL),
    ],
)
def test_a_carving_encoding_gives_exactly_the_deposits_its_type(name, kind):
    handoff = built(name)
    deposits = ByteRangeSet(DEPOSITS)
    assert bytes_of(handoff, kind) & ByteRangeSet([(MIB, 512 * MIB)]) == deposits
    assert not bytes_of(handoff, 1) & deposits


def test_a_hole_has_no_entry_at_all():
    table = built("hole").table.entries
    named = ByteRangeSet.from_bounds(table["addr"], table["addr"] + table["size"])
    assert ByteRangeSet([(0, 512 * MIB)]) - named == ByteRangeSet(DEPOSITS)


@pytest.mark.parametrize("name", ["overlaid", "ext-only"])
def test_an_overlay_leaves_ram_whole_and_a_sanitiser_finds_the_deposits(name):
    handoff = built(name)
    assert bytes_of(handoff, 1).covers(ByteRangeSet(DEPOSITS))
    flat = MemoryMap(entries=handoff.table.entries).flatten()
    assert flat.bytes_of(1) & ByteRangeSet(DEPOSITS) == ByteRangeSet()


def test_ext_only_keeps_the_zero_page_as_the_firmware_wrote_it():
    handoff = built("ext-only")
    assert [tuple(row) for row in handoff.boot_params.e820_map.tolist()] == list(ROWS)
    assert handoff.nodes[0].node.type == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("memmap-list", "memmap=0x3000$0x8000000,0x3000$0xc800000"),
        ("memmap-args", "memmap=0x3000$0x8000000 memmap=0x3000$0xc800000"),
    ],
)
def test_memmap_words_name_each_deposit(name, line):
    assert built(name, DEPOSITS[:2]).cmdline.decode() == line
    assert built(name, DEPOSITS[:2], cmdline="quiet").cmdline.decode() == (
        "quiet " + line
    )


def test_four_memmap_words_cover_every_deposit():
    words = built("memmap-four").cmdline.decode().split()
    assert len(words) == 4
    spans = []
    for word in words:
        size, _, start = word.removeprefix("memmap=").partition("$")
        spans.append((int(start, 0), int(start, 0) + int(size, 0)))
    assert ByteRangeSet(spans).covers(ByteRangeSet(DEPOSITS))


def test_more_memmap_words_than_a_command_line_holds_do_not_fit():
    many = [(at * MIB, at * MIB + PAGE) for at in range(100, 500, 2)]
    with pytest.raises(CapacityError, match="command line"):
        built("memmap-args", many)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_joined_ranges_close_the_narrowest_gaps(count):
    ranges = ByteRangeSet([(0, 10), (11, 20), (50, 60), (62, 70), (500, 501)])
    joined = joined_to(ranges, count)
    assert len(joined) == min(count, len(ranges))
    assert joined.covers(ranges)
    if count == 3:
        assert list(joined) == [(0, 20), (50, 70), (500, 501)]


@pytest.mark.parametrize("name", ["crash-window", "up-front"])
def test_a_precedent_costs_ram_instead_of_entries(name):
    handoff = built(name)
    kept, ours = bytes_of(handoff, 2), bytes_of(built("split"), 2)
    assert kept.covers(ours)
    assert kept.total_bytes > 100 * MIB
    assert len(handoff.table) < len(built("split").table)


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - {"kern-128"}))
def test_every_encoding_builds_and_keeps_parts_off_the_deposits(name):
    handoff = built(name)
    parts = ByteRangeSet((one.addr, one.end) for one in handoff.segments())
    assert not parts & ByteRangeSet(DEPOSITS)
    assert handoff.encoding == name


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_an_encoding_that_is_monotone_names_no_deposit_ram(name):
    exposed = bytes_of(built(name), 1) & ByteRangeSet(DEPOSITS)
    assert bool(exposed) == (not ENCODINGS[name].monotone)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_no_deposit_makes_no_difference_and_no_words(name):
    if name in {"crash-window", "kho", "kho-v4"}:
        return
    handoff = built(name, [])
    assert MemoryMap(entries=handoff.table.entries).flatten().rows() == list(ROWS)
    assert handoff.cmdline == b""


def test_a_budget_is_for_tables_without_overlaps():
    with pytest.raises(InputError, match="overlaps"):
        built("overlaid", max_entries=8)


EXPECTED = {
    "split": ("safe", "safe"),
    "hole": ("degraded", "degraded"),
    "kern-128": ("unsafe", "degraded"),
    "overlaid": ("unsafe", "unsafe"),
    "ext-only": ("unsafe", "unsafe"),
    "memmap-list": ("degraded", "degraded"),
    "memmap-args": ("unsafe", "unsafe"),
    "memmap-four": ("degraded", "degraded"),
    "series-v2": ("unsafe", "unsafe"),
    "kho": ("unsafe", "unsafe"),
    "kho-v4": ("unsafe", "unsafe"),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_check_says_what_an_old_and_a_new_kernel_do(name):
    found = verdict(name, "6.1"), verdict(name, "7.3")
    assert tuple(one.verdict for one in found) == EXPECTED[name]


def test_what_relies_on_overlap_is_said_to_be_not_monotone():
    for name in ("overlaid", "ext-only", "memmap-list", "series-v2", "kho", "kho-v4"):
        assert "not-monotone" in {one.id for one in verdict(name, "6.1").findings}
    assert "not-monotone" not in {one.id for one in verdict("split", "6.1").findings}
