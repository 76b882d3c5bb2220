"""Drafts of mail to kernel lists: they fit a mail, and say what was not done."""

import re
from pathlib import Path

import pytest

from e820pool.lab.patch_file import split_patches

DRAFTS = sorted((Path(__file__).parents[2] / "specs/upstream").glob("*.md"))


@pytest.fixture(params=DRAFTS, ids=lambda path: path.stem)
def draft(request):
    return request.param.read_text()


def test_there_are_drafts():
    assert DRAFTS


def test_lines_fit_a_mail(draft):
    assert max(map(len, draft.split("\n"))) <= 72


def test_nothing_claims_to_have_been_sent(draft):
    assert "Nothing here was sent." in draft


def test_a_mend_was_built_and_booted_or_the_draft_says_that_it_was_not(draft):
    assert re.search(
        r"^    \d[\d.]+, mended(?:, with.*?)?  +\S", draft, re.MULTILINE
    ) or re.search(r"[Nn](either|ot|othing).{0,20} built or\s+booted", draft)


def test_a_mend_is_a_diff_whose_hunks_are_whole(draft):
    (patch,) = split_patches(draft.encode(), "draft")
    lines = iter(patch.text.split("\n"))
    hunks = 0
    for line in lines:
        if not (head := re.fullmatch(r"@@ -\d+,(\d+) \+\d+,(\d+) @@", line)):
            continue
        hunks += 1
        old, new = map(int, head.groups())
        while old or new:
            kind = next(lines)[:1] or " "
            old -= kind in " -"
            new -= kind in " +"
            assert kind in " -+"
            assert min(old, new) >= 0
    assert hunks


def test_a_reproducer_takes_nothing_of_ours(draft):
    """Only QEMU, a kernel, and programs that every machine has."""
    assert "qemu-system-x86_64" in draft
    assert "e820pool" not in draft


def test_a_figure_names_its_kernel_and_what_it_did(draft):
    seen = re.findall(r"^    (\d\.\d+\.\d+)[ ,]", draft, re.MULTILINE)
    assert len(set(seen)) >= 3
