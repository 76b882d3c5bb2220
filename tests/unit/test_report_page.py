"""The page: whole, escaped, and with every range where it belongs."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import reportdocs
from hypothesis import given
from hypothesis import strategies as st

from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.deposits import Deposit, DepositLedger
from e820pool.documents import FindingDocument
from e820pool.extents import ExtentSet, Span
from e820pool.memory_map import MemoryMap
from e820pool.report.chapters import Chapter, HandoffChapter, read_result
from e820pool.report.page import html_report
from e820pool.report.page.maps import (
    CLOSE_UPS,
    LEAST,
    MapRange,
    bar_of,
    extent_layer,
    ledger_layer,
    map_layer,
    ranges_of,
    views_of,
)
from e820pool.report.zones import Look

MIB = 1 << 20
VOID = {"meta", "link", "input", "img"}
BEFORE = MemoryMap.of([(0, 0x9F000, 1), (MIB, 255 * MIB, 1), (256 * MIB, MIB, 2)])
AFTER = MemoryMap.of(
    [
        (0, 0x9F000, 1),
        (MIB, 127 * MIB, 1),
        (128 * MIB, 0x2000, 2),
        (128 * MIB + 0x2000, 128 * MIB - 0x2000, 1),
        (256 * MIB, MIB, 2),
    ]
)
LEDGER = DepositLedger([Deposit(start_pfn=0x8000, end_pfn=0x8002, owner=3)])


def handoff(judged=(), origin="out", **parts):
    whole = {
        "before": BEFORE,
        "after": AFTER,
        "sources": tuple(f"zero page entry {at}" for at in range(len(AFTER))),
        "ledger": LEDGER,
        "encoding": "split",
        "cmdline": "",
        "parts": (("boot_params", 0x100000, 4096),),
        "verdicts": judged,
    }
    return Chapter(origin=origin, content=HandoffChapter(**(whole | parts)))


def judged(word="unsafe", **parts):
    made = {"id": "usable-as-ram", "level": "unsafe", "message": "m", "source": "s.c"}
    found = (FindingDocument(**(made | parts)),)
    return (VerdictDocument(kernel="6.1", verdict=word, findings=found),)


def chapter_of(kind, edit=lambda text: text):
    return read_result(edit(json.dumps(reportdocs.ALL[kind]())), f"{kind}.json")


def every_chapter():
    return [handoff(judged()), *(chapter_of(kind) for kind in reportdocs.ALL)]


class Reader(HTMLParser):
    """Keep elements with their attributes, and hold that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.seen if name == tag]


def test_tags_are_closed_in_order_and_names_are_used_once():
    page = Reader(html_report(every_chapter()))
    ids = [attrs["id"] for _, attrs in page.seen if "id" in attrs]
    assert len(ids) == len(set(ids)) > 10
    refs = [a["href"] for a in page.all("a")]
    refs += [
        f"#{name}"
        for _, attrs in page.seen
        for name in attrs.get("aria-labelledby", "").split()
    ]
    assert {ref.removeprefix("#") for ref in refs} <= set(ids)


def test_the_page_needs_nothing_beside_it():
    text = html_report(every_chapter())
    page = Reader(text)
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"@import|url\((?!#)", text)
    assert not [attrs for _, attrs in page.seen if "src" in attrs]
    assert [attrs["href"] for attrs in page.all("link")] == ["data:,"]
    (policy,) = (a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")


def test_only_the_script_that_the_policy_names_is_there():
    page = Reader(html_report(every_chapter()))
    assert page.all("script") == [{}]
    assert not [
        name for _, attrs in page.seen for name in attrs if name.startswith("on")
    ]


@pytest.mark.parametrize("kind", reportdocs.ALL)
def test_what_a_result_says_is_text_and_no_markup(kind):
    # Into every string of the document that may be any text.
    words = json.dumps(reportdocs.HOSTILE)[1:-1]
    swapped = re.compile(
        r'("(?:message|source|id|meaning|reason|carrier|one|model|host|policy)": ")'
        r'(?!safe|unsafe|degraded)[^"]*"'
    )
    text = html_report(
        [chapter_of(kind, lambda raw: swapped.sub(lambda m: f'{m[1]}{words}"', raw))]
    )
    page = Reader(text)
    assert reportdocs.HOSTILE in "".join(page.words).replace("\n", "")
    assert len(page.all("script")) == 1
    assert page.all("img") == []


def test_a_command_line_cannot_write_into_the_page():
    text = html_report(
        [handoff(cmdline=reportdocs.HOSTILE, origin='"><script>')],
        title=reportdocs.HOSTILE,
    )
    page = Reader(text)
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert reportdocs.HOSTILE in page.words


def test_every_table_names_its_columns_and_rows():
    page = Reader(html_report(every_chapter()))
    heads = page.all("th")
    assert len(heads) > 50
    assert {attrs["scope"] for attrs in heads} == {"col", "row"}
    assert len(page.all("caption")) == len(page.all("table")) > 6


def test_headings_leave_no_level_out():
    page = Reader(html_report(every_chapter()))
    levels = [int(tag[1]) for tag, _ in page.seen if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_findings_unfold_to_their_sources():
    text = html_report([handoff(judged(source="kaslr.c process_e820_entries()"))])
    row = re.search(r'<td class="told"><details>.*?</details>', text, re.DOTALL)[0]
    assert "usable-as-ram" in row
    assert "<cite>kaslr.c process_e820_entries()</cite>" in row


def test_a_range_tells_its_bytes_size_type_and_source():
    text = html_report([handoff()])
    told = "[mem 0x8000000-0x8001fff] 8 KiB, reserved, deposited by owner 0x3; from "
    assert f"<title>{told}zero page entry 2, deposit 1</title>" in text


def test_without_a_map_before_the_page_says_so():
    text = html_report([handoff(before=None)])
    assert "is not part of the handoff" in text
    assert "before and after" not in text


def test_a_map_that_cannot_be_drawn_says_why():
    wraps = MemoryMap.of([((1 << 64) - 4096, 8192, 1)])
    text = html_report([handoff(after=wraps, sources=("zero page entry 0",))])
    assert "No picture: entry 0 at" in text
    empty = MemoryMap.of([])
    assert "the map has no entry" in html_report(
        [handoff(before=None, after=empty, sources=(), ledger=DepositLedger())]
    )


def test_the_same_chapters_are_the_same_bytes():
    assert html_report(every_chapter()) == html_report(every_chapter())


def test_curves_are_told_apart_without_their_colour():
    text = html_report([chapter_of("exhaustion")])
    letters = re.findall(r'<text class="letter [^>]*>(\w)</text>', text)
    legend = re.findall(r"<b>(\w)</b> ([^<]*)</li>", text)
    assert letters == [letter for letter, _ in legend] == ["A", "B", "C"]
    assert [name for _, name in legend] == [
        "scattered, seed 0",
        "arenas:2M, seed 0",
        "arenas:1G, seed 0",
    ]


def test_more_curves_than_can_be_told_apart_are_in_the_table_only():
    document = reportdocs.exhaustion()
    document["results"] *= 5
    text = html_report([read_result(json.dumps(document), "a.json")])
    assert text.count("<polyline") == 12
    assert "3 more curves are in the table only." in text


def test_deposits_lie_on_top_and_keep_the_source_below():
    layer = map_layer(AFTER, [f"e{at}" for at in range(5)])
    found = [
        one for one in ranges_of(layer, ledger_layer(LEDGER)) if one.start >= 127 * MIB
    ]
    assert [(one.start, one.look) for one in found][:2] == [
        (128 * MIB, Look.DEPOSITED),
        (128 * MIB + 0x2000, Look.RAM),
    ]
    assert found[0].source == "e2, deposit 1"


def test_a_deposit_without_an_entry_is_drawn_too():
    layer = map_layer(MemoryMap.of([(0, 0x1000, 1)]), ["e0"])
    found = ranges_of(layer, extent_layer(ExtentSet([(16, 17)])))
    assert [one.words for one in found] == ["usable", "no entry, deposited"]


def test_a_flat_range_names_the_entries_that_made_it():
    rows = [(0, 0x3000, 1), (0x1000, 0x1000, 2), (0x3000, 0x1000, 1)]
    found = ranges_of(map_layer(MemoryMap.of(rows), ["a", "b", "c"]))
    assert [(one.start, one.source) for one in found] == [
        (0, "a"),
        (0x1000, "b"),
        (0x2000, "a and c"),
    ]


def test_the_last_page_of_all_can_be_deposited():
    (one,) = ranges_of(
        map_layer(MemoryMap.of([]), []),
        extent_layer(ExtentSet([((1 << 52) - 1, 1 << 52)])),
    )
    assert (one.start, one.end) == ((1 << 64) - 4096, (1 << 64) - 1)


def spread(nr, step):
    return ExtentSet((0x1000 + at * step, 0x1001 + at * step) for at in range(nr))


@pytest.mark.parametrize(
    ("nr", "close_ups"), [(0, 0), (1, 1), (2, 3), (CLOSE_UPS, CLOSE_UPS + 1)]
)
def test_each_deposit_has_a_close_up(nr, close_ups):
    deposits = extent_layer(spread(nr, 8))
    views = views_of(None, (AFTER, ["e"] * 5), deposits)
    assert len(views) == 2 * (1 + close_ups)
    assert {one.scale for one in views} == {"true", "log"}


def test_many_deposits_share_close_ups_and_none_is_left_out():
    deposits = extent_layer(spread(500, 8))
    labels = [one.label for one in views_of(None, (AFTER, ["e"] * 5), deposits)[4::2]]
    assert len(labels) == CLOSE_UPS
    spans = [
        [*map(int, re.findall(r"^Deposits? (\d+)(?: to (\d+))?", x)[0])] for x in labels
    ]
    assert spans[0][0] == 1
    assert spans[-1][1] == 500
    assert all(a[1] + 1 == b[0] for a, b in pairwise(spans))


def test_both_maps_stand_at_the_same_place_at_both_scales():
    names = [f"e{at}" for at in range(5)]
    for view in views_of((BEFORE, names), (AFTER, names), ledger_layer(LEDGER)):
        for strip in view.strips:
            firsts = {bar.shapes[0].x for bar in strip.bars}
            assert len(firsts) == 1


BOUNDS = st.lists(st.integers(1, 1 << 40), min_size=2, max_size=120, unique=True)


@given(bounds=BOUNDS, looks=st.lists(st.sampled_from(Look), min_size=60, max_size=60))
def test_shapes_are_in_order_inside_the_bar_and_keep_every_deposit(bounds, looks):
    edges = iter(sorted(bounds))
    ranges = tuple(
        MapRange(start=start, end=end, look=look, words="w", source="s")
        for start, end, look in zip(edges, edges, looks, strict=False)
    )
    zone = Span(0, 1 << 40)
    bar = bar_of("b", ranges, zone, lambda addr: 100 * addr / zone.size)
    spans = [(float(s.x[:-1]), float(s.width[:-1])) for s in bar.shapes]
    assert all(x >= 0 and x + width <= 100.01 for x, width in spans)
    assert all(width >= LEAST - 0.001 for _, width in spans)
    assert spans == sorted(spans)
    if any(one.look == Look.DEPOSITED for one in ranges):
        assert "deposited" in {shape.look for shape in bar.shapes}
    assert len(bar.shapes) <= 100 / LEAST + 1


def test_findings_link_to_what_they_mean_in_the_page_itself():
    html = html_report(every_chapter())
    links = set(re.findall(r'href="#(finding-[^"]+)"', html))
    assert links
    assert links <= set(re.findall(r'id="(finding-[^"]+)"', html))
    assert "specs/findings.md" not in html
