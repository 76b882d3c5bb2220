"""What each finding means, for people without the repository."""

import json
import re

import pytest

from e820pool.documents import document_text
from e820pool.report.explanations import (
    explanation_text,
    explanations,
    list_text,
)


@pytest.mark.parametrize("ident", explanations())
def test_every_finding_has_four_parts_as_plain_text(ident):
    found = explanations()[ident]
    for part in (found.cause, found.consequence, found.remedy, found.source):
        assert part
        assert all(line.startswith("* ") for line in part.split("\n")[1:])
        assert not re.search(r"`|\*\*|\]\(", part)


def test_a_part_is_whole_and_ends_where_the_next_begins():
    found = explanations()["usable-as-ram"]
    assert found.group == "Unsafe"
    assert found.consequence == (
        "the page is in the kernel's memory (memblock), and allocated sooner or later."
    )
    assert found.source.endswith("memblock_x86_fill().")


def test_items_of_a_list_are_lines_of_their_own():
    text = explanation_text(explanations()["lost-on-next-kexec"], 60)
    items = [line for line in text.split("\n") if line.startswith("  * ")]
    assert [item.split()[1] for item in items] == [
        "kexec_file_load",
        "kexec_load",
        "mem=",
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_no_line_is_wider_than_asked_but_for_one_long_word(width):
    texts = [explanation_text(one, width) for one in explanations().values()]
    for line in "\n".join([*texts, list_text(explanations().values(), width)]).split(
        "\n"
    ):
        assert len(line) <= width or " " not in line.strip()


def test_the_json_twin_has_the_same_parts():
    found = explanations()["ram-lost"]
    told = json.loads(document_text(found))
    assert (told["schema"], told["kind"], told["id"]) == (
        1,
        "finding-explained",
        "ram-lost",
    )
    assert told["remedy"] == found.remedy
