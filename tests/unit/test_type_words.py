"""What kernels call e820 types, against lines and names of real kernels."""

import pytest

from e820pool.type_words import (
    KNOWN_TYPES,
    LOG_DIALECTS,
    TYPE_WITHOUT_NUMBER,
    log_words,
    match_log_words,
    resource_name,
    type_of_resource,
    type_text,
)

# e820_print_type() and its forerunners, by release.
PRINTED = {
    "2.4": {1: "(usable)", 2: "(reserved)", 3: "(ACPI data)", 4: "(ACPI NVS)"},
    "pre-3.5": {1: "(usable)", 5: "(unusable)", 7: "type 7", 20: "type 20"},
    "3.5": {
        1: "usable",
        2: "reserved",
        5: "unusable",
        7: "persistent (type 7)",
        12: "persistent (type 12)",
        128: "usable",
        0xEFFFFFFF: "soft reserved",
        20: "type 20",
    },
    "7.0": {
        1: "System RAM",
        2: "device reserved",
        3: "ACPI data",
        12: "persistent RAM (type 12)",
        128: "type 128",
        0xEFFFFFFF: "soft reserved",
    },
}


@pytest.mark.parametrize(
    ("dialect", "kind"), [(d, kind) for d in PRINTED for kind in PRINTED[d]]
)
def test_words_are_those_of_the_kernel(dialect, kind):
    assert log_words(kind, dialect) == PRINTED[dialect][kind]


@pytest.mark.parametrize("dialect", LOG_DIALECTS)
@pytest.mark.parametrize("kind", [*sorted(KNOWN_TYPES - {128}), 0, 6, 13, 0xFFFFFFFF])
def test_every_word_gives_its_type_back(dialect, kind):
    assert match_log_words(log_words(kind, dialect)).kind == kind


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("usable", (1, "3.5")),
        ("(usable)", (1, "3.5")),
        ("System RAM", (1, "7.0")),
        ("reserved</pre>", (2, "3.5")),
        ("ACPI data", (3, None)),
        ("type 20", (20, None)),
        ("persistent (type 12)", (12, "3.5")),
        ("persistent RAM (type 12)", (12, "7.0")),
        ("unusable", (5, None)),
        ("usables", (None, None)),
        ("usabl", (None, None)),
        ("Usable", (None, None)),
        ("type", (None, None)),
        ("type 4294967296", (None, None)),
        ("type 99999999999", (None, None)),
        ("ACPINVS", (4, None)),
        ("persistent(type 12", (12, "3.5")),
        ("usable2026", (1, "3.5")),
        ("type 1", (None, None)),
        ("type 2", (None, None)),
        ("", (None, None)),
    ],
)
def test_words_give_their_type_and_who_says_so(text, found):
    assert match_log_words(text)[:2] == found


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        *((1, "usable"), (2, "reserved"), (4, "ACPI NVS"), (7, "persistent (type 7)")),
        *((0xEFFFFFFF, "soft reserved"), (20, "type 0x14"), (0, "type 0x0")),
        *((TYPE_WITHOUT_NUMBER, "an unknown type (0xfffffffe)"), (128, "(0x80)")),
    ],
)
def test_messages_say_a_type_in_words(kind, words):
    assert words in type_text(kind)


def test_resource_names_are_those_of_the_kernel():
    names = {
        1: "System RAM",
        2: "Reserved",
        3: "ACPI Tables",
        4: "ACPI Non-volatile Storage",
        5: "Unusable memory",
        7: "Persistent Memory",
        12: "Persistent Memory (legacy)",
        128: "System RAM",
        0xEFFFFFFF: "Soft Reserved",
        20: "Unknown E820 type",
    }
    assert {kind: resource_name(kind) for kind in names} == names


def test_the_type_without_a_number_is_none_that_anyone_uses():
    assert TYPE_WITHOUT_NUMBER not in KNOWN_TYPES
    assert max(KNOWN_TYPES) < TYPE_WITHOUT_NUMBER
    assert type_of_resource("Unknown E820 type") == TYPE_WITHOUT_NUMBER
    assert type_of_resource("reserved") == type_of_resource("Reserved") == 2
    assert type_of_resource("Kernel code") is None
