"""Verdicts: the worst finding decides, and no verdict is never an unsafe one."""

from itertools import permutations

import pytest

from e820pool.compat import Difference, diff, verdict_of, verdict_unknown
from e820pool.compat.verdict import LISTED, finding_about, profile_notes
from e820pool.extents import ExtentSet, Span
from e820pool.findings import Finding
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.view import KernelView


def finding(level, ident="a-finding"):
    return Finding(id=ident, level=level, message="so it is")


@pytest.mark.parametrize(
    ("levels", "word"),
    [
        ([], "safe"),
        (["note"], "safe"),
        (["note", "degraded"], "degraded"),
        (["unsafe", "note", "degraded"], "unsafe"),
        (["note", "unsafe"], "unsafe"),
    ],
)
def test_the_worst_level_is_the_verdict_in_any_order(levels, word):
    for order in permutations(levels):
        verdict = verdict_of("6.1", [finding(level) for level in order])
        assert verdict.verdict == word
        ranks = [
            ["unsafe", "degraded", "note"].index(f.level) for f in verdict.findings
        ]
        assert ranks == sorted(ranks)


def test_findings_of_one_level_keep_their_order():
    found = [finding("note", name) for name in ("b", "a", "c")]
    assert [f.id for f in verdict_of("6.1", found).findings] == ["b", "a", "c"]


def test_no_verdict_says_why_and_is_only_a_note():
    verdict = verdict_unknown("9.9", "kernel not known")
    assert (verdict.kernel, verdict.verdict) == ("9.9", "unknown")
    assert [(f.id, f.level, f.message) for f in verdict.findings] == [
        ("no-verdict", "note", "kernel not known")
    ]


@pytest.mark.parametrize(
    ("release", "known"), [("6.1", True), ("6.1.9-custom", True), ("6.3", False)]
)
def test_a_release_that_nobody_looked_at_is_noted(release, known):
    notes = profile_notes(profile_for(release))
    assert [n.id for n in notes] == ([] if known else ["profile-between"])
    assert known or release in notes[0].message


def test_a_finding_about_pages_names_the_first_and_counts_all():
    extents = ExtentSet((i * 4, i * 4 + 2) for i in range(100))
    made = finding_about("an-id", "note", extents, "see {pages}", "source")
    assert made.message == "see 200 deposited page(s) from PFN 0x0"
    assert len(made.extents) == LISTED < 100
    assert made.extents[1] == (4, 6)


ROWS = ((0x0, 0x1000, 1), (0x1000, 0x1000, 2))
VIEW = {"kernel": "6.1", "bios_map": ROWS, "memory": (Span(0x0, 0x1000),)}


def differences(change, *, base=None):
    base = VIEW | (base or {})
    found = diff(KernelView(**base), KernelView(**(base | change)))
    turned = diff(KernelView(**(base | change)), KernelView(**base))
    mirrored = tuple(
        Difference(field=d.field, model=d.machine, machine=d.model) for d in turned
    )
    assert found == mirrored
    return [(d.field, d.model, d.machine) for d in found]


def test_a_view_does_not_differ_from_itself():
    assert differences({}) == []
    assert differences({"kernel": "7.3", "engine": "machine"}) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"map_source": "BIOS-88"}, ("map_source[0]", "BIOS-e820", "BIOS-88")),
        (
            {"bios_map": (ROWS[0], (0x1000, 0x1000, 3))},
            ("bios_map[1]", "(0x1000, 0x1000, 0x2)", "(0x1000, 0x1000, 0x3)"),
        ),
        ({"bios_map": ROWS[:1]}, ("bios_map[1]", "(0x1000, 0x1000, 0x2)", "nothing")),
        ({"extended_map": ROWS}, ("extended_map", "none", "2 rows")),
        ({"user_map": ()}, ("user_map", "none", "0 rows")),
        (
            {"memory": (Span(0x0, 0x2000),)},
            ("memory[0]", "[mem 0x0-0xfff]", "[mem 0x0-0x1fff]"),
        ),
        ({"fatal": "no memory"}, ("fatal", "None", "no memory")),
    ],
)
def test_the_first_row_that_differs_is_told(change, wanted):
    assert differences(change) == [wanted]


def test_every_field_that_differs_is_told():
    change = {"map_source": "BIOS-88", "bios_map": (), "memory": (Span(0, 1 << 20),)}
    assert [d[0] for d in differences(change)] == [
        "map_source[0]",
        "bios_map[0]",
        "memory[0]",
    ]


def test_a_marked_entry_prints_as_ram_does():
    assert differences({"bios_map": ((0x0, 0x1000, 128), ROWS[1])}) == []
    assert differences({"bios_map": (ROWS[0], (0x1000, 0x1000, 128))}) != []


def test_two_dead_boots_may_give_different_reasons():
    """A console has the kernel's words, the model its own."""
    assert differences({"fatal": "BUG at e820.c"}, base={"fatal": "the map ends"}) == []


def test_memory_that_a_dead_boot_never_set_up_is_not_compared():
    assert differences({"memory": ()}) == []
