"""JSON results become chapters, or are refused in one line."""

import copy
import json

import pytest
import reportdocs
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from e820pool.documents import document_text, kind_of
from e820pool.errors import BadImageError
from e820pool.report.chapters import KINDS, read_result
from e820pool.report.mail import mail_report
from e820pool.report.page import html_report


def read(document):
    return read_result(json.dumps(document), "a.json")


def test_every_kind_has_a_document_here():
    assert set(reportdocs.ALL) == {kind_of(one) for one in KINDS}


def test_verdicts_keep_both_sides_of_a_boot():
    plain, _, booted = read(reportdocs.verdicts()).content.verdicts
    assert (plain.kernel, plain.machine, plain.differences) == ("6.1", UNSET, UNSET)
    assert (booted.model, booted.machine) == ("safe", "unsafe")
    assert [one.field for one in booted.differences] == ["memory[0]"]
    assert booted.findings[0].extents == ((0x8000, 2),)


def test_a_comparison_keeps_what_was_booted_and_what_could_not_be_built():
    found = read(reportdocs.comparison()).content
    seen = found.row("split")[1]
    assert (seen.word, seen.booted.word, seen.booted.nr_touched) == (
        "safe",
        "unsafe",
        12,
    )
    assert (seen.is_foreseen, seen.disagreements) == (False, ("the model said safe",))
    assert found.row("overlaid")[0].booted.word == "lost"
    unbuilt = found.row("kho")[0]
    assert (unbuilt.word, unbuilt.reason) == ("no handoff", "one byte too many")


def test_curves_are_the_calls_and_the_entries_of_their_encoding():
    found = read(reportdocs.exhaustion()).content
    scattered, arenas, _, missing = found.results
    assert found.points_of(scattered) == ((1, 12), (28, 130), (69, 322))
    fall = scattered.fall_of("zero-page")
    assert (fall.call, fall.created, fall.deposited_pages) == (28, 2, 1521)
    assert arenas.fall_of("zero-page") is None
    assert (found.points_of(missing), missing.reason) == (
        (),
        "the host has no room for area 5",
    )


def test_a_chain_says_what_became_of_each_pool():
    found = read(reportdocs.chain()).content
    assert [one.pool_word for one in found.hops] == ["none", "equal", "refused"]
    assert [one.deposits.nr_pages for one in found.hops] == [0, 513, 513]
    assert found.touched_deposits.nr_pages == 2
    assert found.hops[2].used_again.nr_pages == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds a JSON array"),
        ("{}", "schema"),
        ('{"schema": 2, "kind": "chain"}', "schema 0x2"),
        ('{"schema": 1}', "has no kind"),
        (
            '{"schema": 1, "kind": "memory-map"}',
            "'memory-map': want verdicts of 'check', comparison of 'compare'",
        ),
        ('{"schema": 1, "kind": ["chain"]}', "want verdicts"),
        ('{"schema": 1, "kind": "chain"}', "loaders is missing"),
    ],
)
def test_what_is_no_result_is_refused(text, said):
    with pytest.raises(BadImageError) as caught:
        read_result(text, "a.json")
    assert said in str(caught.value)
    assert "a.json" in str(caught.value)


def test_a_chain_of_no_kernels_is_refused():
    with pytest.raises(BadImageError, match="0 hops"):
        read(reportdocs.chain() | {"hops": []})


def test_cells_in_another_order_would_stand_under_the_wrong_kernel():
    document = reportdocs.comparison()
    document["cells"].reverse()
    with pytest.raises(BadImageError, match="in their order"):
        read(document)


def test_deposits_beyond_the_last_page_are_refused():
    document = reportdocs.chain()
    document["hops"][1]["deposits"] = [[(1 << 52) - 1, 2]]
    with pytest.raises(BadImageError, match="deposits"):
        read(document)


@pytest.mark.parametrize("column", ["call", "split"])
def test_samples_without_a_column_are_refused(column):
    document = reportdocs.exhaustion()
    document["sample_fields"] = [x for x in reportdocs.FIELDS if x != column]
    with pytest.raises(BadImageError, match=f"no '{column}'"):
        read(document)


def test_a_short_sample_is_refused():
    document = reportdocs.exhaustion()
    document["results"][0]["samples"][1] = [1]
    with pytest.raises(BadImageError, match=r"samples\[1\]"):
        read(document)


@pytest.mark.parametrize("kind", reportdocs.ALL)
def test_what_is_read_is_written_again_as_it_was(kind):
    content = read(reportdocs.ALL[kind]()).content
    again = read_result(document_text(content), "a.json").content
    assert document_text(again) == document_text(content)


def places(value, path=()):
    """Yield the path to every value in a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*path, key))
        else:
            yield (*path, key)


def replaced(document, path, value):
    found = copy.deepcopy(document)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


ODD = st.sampled_from(
    [None, True, -1, 0, 1 << 64, (1 << 64) - 1, 1e300, "", "x" * 9000, [], {}, [[]]]
)


@given(data=st.data(), kind=st.sampled_from(tuple(reportdocs.ALL)), value=ODD)
def test_any_value_in_any_place_is_told_or_refused(data, kind, value):
    document = reportdocs.ALL[kind]()
    path = data.draw(st.sampled_from([p for p in places(document) if p]))
    try:
        chapter = read(replaced(document, path, value))
    except BadImageError:
        return
    assert html_report([chapter]).endswith("</html>\n")
    assert max(map(len, mail_report([chapter]).splitlines())) <= 72
