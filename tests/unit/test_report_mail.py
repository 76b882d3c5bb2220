"""The mail: 72 columns of ASCII that say what the page says."""

import json

import pytest
import reportdocs
from hypothesis import given
from hypothesis import strategies as st
from test_report_page import every_chapter, handoff, judged

from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.report.chapters import read_result
from e820pool.report.mail import WIDTH, mail_report, table, wrapped


def check_mail(text):
    assert text.isascii()
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert not any(ord(c) < 32 for c in text.replace("\n", ""))
    assert not any(line != line.rstrip() for line in text.splitlines())


def mail_of(kind):
    return mail_report(
        [read_result(json.dumps(reportdocs.ALL[kind]()), f"{kind}.json")]
    )


def test_every_chapter_keeps_the_columns():
    text = mail_report(every_chapter(), title="All of it")
    check_mail(text)
    assert text.startswith("All of it\n")
    for one in ("Handoff out", "Verdicts of", "Encodings against", "When", "Chain of"):
        assert f"\n{one}" in text


def test_a_handoff_has_map_deposits_verdicts_and_findings():
    text = mail_report([handoff(judged(message="it is RAM", source="e820.c"))])
    assert "1 deposit, 2 pages (8 KiB), in 5 entries. Unsafe on 6.1." in text
    assert "\nbefore ###" in text
    assert "[mem 0x8000000-0x8001fff] of owner 0x3, 8 KiB" in text
    assert "\nunsafe    6.1\n" in text
    assert "[unsafe] usable-as-ram (6.1)\n    it is RAM\n    source: e820.c\n" in text


def test_the_same_finding_is_told_once_for_all_kernels():
    rows = tuple(
        VerdictDocument(kernel=name, verdict="unsafe", findings=one.findings)
        for one in judged()
        for name in ("5.10", "6.1")
    )
    text = mail_report([handoff(rows)])
    assert text.count("usable-as-ram") == 1
    assert "usable-as-ram (all 2 kernels)" in text


def test_a_matrix_has_a_row_an_encoding_and_tells_what_was_booted():
    text = mail_of("comparison")
    rows = [line.split() for line in text.splitlines()]
    assert ["encoding", "6.1", "7.3"] in rows
    assert ["split", "safe", "safe/BAD", "12*"] in rows
    assert ["overlaid", "BAD/lost", "0*", "degr"] in rows
    assert ["kho", "-", "degr"] in rows
    assert "kho on 6.1: one byte too many" in text
    assert "split on 7.3: the model said safe" in text


def test_limits_are_told_with_the_call_at_which_they_fall():
    rows = [line.split() for line in mail_of("exhaustion").splitlines()]
    assert ["8G", "scattered", "28", "never"] in rows
    assert ["8G", "arenas:2M", "never", "never"] in rows


def test_a_chain_is_told_kernel_by_kernel():
    text = mail_of("chain")
    assert "Not intact over 3 kernels: 2 pages (8 KiB) were touched." in text
    assert "3. 6.1, by kexec (kexec-file), 17 s" in text
    assert "[degraded] pool-record-lost (6.1)" in text


def test_letters_beyond_ascii_are_written_as_escapes():
    text = mail_report(
        [handoff(cmdline="caf\xe9 \x1b[31m\u202e", origin="\N{SNOWMAN}")]
    )
    check_mail(text)
    assert "caf\\xe9 ?[31m?" in text
    assert "Handoff \\u2603" in text


@given(st.text(max_size=400), st.sampled_from(["", "* ", "    "]))
def test_any_text_is_broken_to_the_columns(text, first):
    lines = wrapped(text, first)
    assert lines
    assert all(len(line) <= WIDTH and line.isascii() for line in lines)


@given(
    st.integers(1, 2),
    st.lists(
        st.lists(st.text("ab c\xe9", max_size=50), min_size=4, max_size=4), max_size=4
    ),
)
def test_any_table_is_broken_to_the_columns_and_keeps_its_cells(keys, rows):
    lines = table(("a", "b", "c", "d"), rows, keys=keys)
    assert all(len(line) <= WIDTH for line in lines)
    squeezed = "".join("".join(lines).split())
    for row in rows:
        for cell in row:
            told = "".join(cell.encode("ascii", "backslashreplace").decode().split())
            assert told in squeezed


@pytest.mark.parametrize(("width", "tables"), [(10, 1), (30, 2), (60, 3)])
def test_a_wide_table_is_cut_into_several(width, tables):
    lines = table(("key", "one", "two", "three"), [["k", *["x" * width] * 3]])
    assert sum(line.startswith("key ") for line in lines) == tables
