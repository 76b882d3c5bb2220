"""A printed map that transports broke reads the same, or what is missing is counted."""

import quopri
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool.errors import BadImageError, InputError
from e820pool.sources.dmesg import read_dmesg

GIB = 1 << 30
# The words of each dialect as arch/x86/kernel/e820.c prints them, written out here:
# the package's own table is what is tested.
WORDS = {
    "2.4": {1: "(usable)", 2: "(reserved)", 3: "(ACPI data)", 4: "(ACPI NVS)"},
    "pre-3.5": {
        1: "(usable)",
        2: "(reserved)",
        3: "(ACPI data)",
        4: "(ACPI NVS)",
        5: "(unusable)",
        20: "type 20",
    },
    "3.5": {
        1: "usable",
        2: "reserved",
        3: "ACPI data",
        4: "ACPI NVS",
        5: "unusable",
        7: "persistent (type 7)",
        12: "persistent (type 12)",
        20: "type 20",
        0xEFFFFFFF: "soft reserved",
    },
    "7.0": {
        1: "System RAM",
        2: "device reserved",
        3: "ACPI data",
        4: "ACPI NVS",
        5: "unusable",
        7: "persistent RAM (type 7)",
        20: "type 20",
        0xEFFFFFFF: "soft reserved",
    },
}
HEADLINES = {"BIOS-e820": "BIOS-provided", "user": "user-defined"}
PREFIXES = (
    *("", "[    0.000000] ", "<6>[    0.000000] ", " [    0.000000][    T0] "),
    *(
        "Feb  7 11:03:40 host-17 kernel: ",
        "Feb 07 11:03:40 host kernel: [    0.000000] ",
    ),
    *("2026-11-02T10:00:00.123456+01:00 host kernel: ", "kern  :info  : [    0.1] "),
    *("host-4: ", "# ", "    "),
)
OTHERS = (
    "NX (Execute Disable) protection: active",
    "e820: update [mem 0x00000000-0x00000fff] usable ==> reserved",
    "smpboot: Allowing 4 CPUs, 0 hotplug CPUs",
    "PM: hibernation: Registered nosave memory: [mem 0x000a0000-0x000fffff]",
    "ACPI: Reserving FACP table memory at [mem 0x7ffe1b2c-0x7ffe1b9f]",
    "DMI: Some Vendor Box/Board, BIOS 1.2 02/03/2024",
)
#: Findings that say that entries are missing, or that a range has lost its type.
TOLD = {"line-cut", "type-cut", "unknown-words"}


def printed(rows, dialect, who):
    yield f"{HEADLINES[who]} physical RAM map:"
    reach = 0
    for addr, size, kind in rows:
        words = WORDS[dialect][kind]
        if dialect == "2.4":
            yield f" {who}: {size:016x} @ {addr:016x} {words}"
        elif dialect == "pre-3.5":
            yield f" {who}: {addr:016x} - {addr + size:016x} {words}"
        else:
            if dialect == "7.0" and addr > reach:
                yield f"{who}: [gap {reach:#018x}-{addr - 1:#018x}]"
            between = "  " if dialect == "7.0" else " "
            yield f"{who}: [mem {addr:#018x}-{addr + size - 1:#018x}]{between}{words}"
        reach = addr + size
    yield OTHERS[0]


@st.composite
def maps(draw):
    dialect = draw(st.sampled_from(sorted(WORDS)))
    kinds = st.sampled_from(sorted(WORDS[dialect]))
    sizes = st.integers(1, 1 << 24).map(lambda pages: pages << 12)
    rows, reach = [(0, 0x9F000, 1)], 0x100000
    for size, gap, kind in draw(st.lists(st.tuples(sizes, sizes, kinds), max_size=6)):
        rows.append((reach, size, kind))
        reach += size + gap * draw(st.integers(0, 1))
    who = draw(st.sampled_from(sorted(HEADLINES)))
    prefix = draw(st.sampled_from(PREFIXES))
    return rows, [prefix + line for line in printed(rows, dialect, who)], who, prefix


def read_or_refusal(text, who):
    try:
        return read_dmesg(text, block={"BIOS-e820": "bios"}.get(who, who)), ""
    except (BadImageError, InputError) as exc:
        return None, str(exc)


def check(text, rows, who):
    """Assert that what was read is what was printed, or less and said to be less."""
    found, refusal = read_or_refusal(text, who)
    if found is None:
        assert re.search(r"\d+ are cut, the first in line \d+", refusal), text
        return 0
    got = found.rows()
    if got == rows:
        return len(rows)
    ids = {note.id for note in found.notes}
    assert ids & TOLD, (text, got, rows)
    # What was not understood is no RAM that was not there, and no other range.
    whole = {(addr, size) for addr, size, _ in rows}
    assert {(addr, size) for addr, size, _ in got} <= whole, (text, got, rows)
    assert {row for row in got if row[2] == 1} <= set(rows), (text, got, rows)
    if len(got) < len(rows):
        cut = next(note for note in found.notes if note.id == "line-cut")
        assert int(cut.message.split()[0]) >= len(rows) - len(got), (text, cut)
    return len(got)


def hard_wrapped(lines, column, before=""):
    for line in lines:
        yield line[:column]
        for at in range(column, len(line), column):
            yield before + line[at : at + column]


def soft_wrapped(lines, column, before=""):
    for line in lines:
        words, row = line.split(" "), ""
        for word in words:
            if row and len(row) + 1 + len(word) > column:
                yield row
                row = before + word
            else:
                row = f"{row} {word}" if row else word
        yield row


def text_of(lines, end="\n"):
    return "".join(f"{line}{end}" for line in lines)


WRAPS = {"hard": hard_wrapped, "soft": soft_wrapped}


@pytest.mark.parametrize("wrap", WRAPS)
@given(map_=maps(), column=st.integers(12, 110), goes_on=st.sampled_from("-p>i"))
def test_a_map_that_was_wrapped_at_any_column(wrap, map_, column, goes_on):
    rows, lines, who, prefix = map_
    before = {"-": "", "p": prefix, ">": "> ", "i": "    "}[goes_on]
    if goes_on == ">":
        lines = [f"> {line}" for line in lines]
    check(text_of(WRAPS[wrap](lines, column, before)), rows, who)


@given(
    map_=maps(),
    between=st.sampled_from(
        [" ", "<br>", "<br/>\n", "\r", "\\n", "\\r\\n", "\\\\n", "", "\n\n", "#012"]
    ),
)
def test_a_map_whose_lines_were_joined(map_, between):
    rows, lines, who, _ = map_
    check(between.join(lines) + "\n", rows, who)


@given(map_=maps(), mark=st.sampled_from(["> ", ">>> ", "| ", "# ", "> > "]))
def test_a_map_that_was_quoted_is_whole(map_, mark):
    rows, lines, who, _ = map_
    assert check(text_of(mark + line for line in lines), rows, who) == len(rows)


@given(map_=maps(), end=st.sampled_from(["\n", "\r\n"]))
def test_a_map_in_quoted_printable_is_whole(map_, end):
    rows, lines, who, _ = map_
    text = quopri.encodestring(text_of(lines).encode()).decode()
    assert check(text.replace("\n", end), rows, who) == len(rows)


@given(
    map_=maps(), at=st.integers(0, 60), code=st.sampled_from(["\x1b[33m", "#033[0m"])
)
def test_a_map_with_colours_is_whole(map_, at, code):
    rows, lines, who, _ = map_
    text = text_of(line[:at] + code + line[at:] + "\x1b[0m" for line in lines)
    assert check(text, rows, who) == len(rows)


@given(map_=maps(), others=st.lists(st.sampled_from(OTHERS), min_size=1, max_size=3))
def test_a_map_among_other_lines_is_whole(map_, others):
    rows, lines, who, prefix = map_
    mixed = [one for line in lines for one in (line, *(prefix + o for o in others))]
    assert check(text_of(mixed), rows, who) == len(rows)


@given(map_=maps(), choices=st.data())
def test_a_map_of_which_bytes_are_missing_is_never_less_in_silence(map_, choices):
    rows, lines, who, _ = map_
    at = choices.draw(st.integers(1, len(lines) - 2))
    name_end = lines[at].find(who) + len(who) + 2
    start = choices.draw(st.integers(name_end, len(lines[at]) - 1))
    end = choices.draw(st.integers(start + 1, len(lines[at])))
    lines[at] = lines[at][:start] + lines[at][end:]
    assert_not_less_in_silence(text_of(lines), rows, who)


@given(map_=maps(), choices=st.data())
def test_a_map_of_which_a_name_is_missing_is_never_less_in_silence(map_, choices):
    rows, lines, who, _ = map_
    at = choices.draw(st.integers(1, len(lines) - 2))
    name = lines[at].find(who)
    start = choices.draw(st.integers(0, name + len(who)))
    end = choices.draw(st.integers(start, name + len(who) + 2))
    lines[at] = lines[at][:start] + lines[at][end:]
    assert_not_less_in_silence(text_of(lines), rows, who)


@pytest.mark.parametrize("who", ["user", "modified", "extended"])
def test_what_is_left_of_the_only_entry_below_a_headline_is_named(who):
    what = {"user": "user-defined"}.get(who, who)
    text = f"{what} physical RAM map:\n {who}: 000 (usable)\nNX protection: active\n"
    with pytest.raises(BadImageError, match="1 are cut, the first in line 2"):
        read_dmesg(text)


def assert_not_less_in_silence(text, rows, who):
    found, refusal = read_or_refusal(text, who)
    if found is None:
        assert "are cut" in refusal or f"has no {who} map" in refusal, text
        return
    if len(found) < len(rows):
        assert "line-cut" in {note.id for note in found.notes}, text
