"""Every recorded console: what it shows is what went in, and what the model says.

The tables that went in are in tests/data/consoles/cases.json. They are resolved here
with a naive painter, not with the package; the model is then held to the same logs.
"""

import re
from itertools import pairwise

import pytest

from e820pool.compat.diff import diff
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.lab.machine_view import view_of_console
from e820pool.sources.kernel_console import read_console

MIB = 1 << 20

# Types whose neighbours of the same type stay apart: PRAM and SOFT_RESERVED
# (e820_nomerge(), arch/x86/kernel/e820.c).
APART = {12, 0xEFFF_FFFF}


def numbers(recording):
    return tuple(int(part) for part in recording.release.split("."))


def painted(rows):
    """Return the map in which each byte has the highest type that covers it."""
    edges = sorted({edge for addr, size, _ in rows for edge in (addr, addr + size)})
    out = []
    for start, end in pairwise(edges):
        over = [kind for addr, size, kind in rows if addr <= start < addr + size]
        if not over:
            continue
        kind = max(over)
        touches = out and out[-1][0] + out[-1][1] == start
        if touches and out[-1][2] == kind and kind not in APART:
            out[-1] = (out[-1][0], end - out[-1][0], kind)
        else:
            out.append((start, end - start, kind))
    return tuple(out)


def printed(rows, recording):
    # Up to 6.12 type 128 is printed as usable.
    known = numbers(recording) < (6, 16)
    return tuple((a, s, 1 if t == 128 and known else t) for a, s, t in rows)


def test_at_least_ten_situations_on_at_least_five_releases(
    all_recordings, recording_of
):
    found = {}
    for one in all_recordings:
        found.setdefault(one.release, set()).add(one.name)
    assert sum(len(names) >= 10 for names in found.values()) >= 5
    assert recording_of("6.1", "plain").text.startswith("[    0.000000] Linux version")


def test_the_kernel_says_its_release_and_command_line(recording):
    facts = read_console(recording.text)
    if facts.lost_messages:
        assert recording.name == "table-full"
        return
    assert facts.kernel.startswith(recording.release)
    assert facts.cmdline.startswith(recording.case.get("cmdline", ""))
    assert "console=ttyS0" in facts.cmdline


def test_the_maps_are_what_went_in(regular_recording):
    recording = regular_recording
    facts = read_console(recording.text)
    first, every = recording.table
    assert facts.map_source == "BIOS-e820"
    assert facts.bios_map == printed(painted(first), recording)
    if len(every) > len(first):
        assert facts.extended_map == printed(painted(every), recording)
    else:
        assert facts.extended_map is None


def test_setup_data_nodes_are_marked_up_to_6_12_only(recording):
    facts = read_console(recording.text)
    nodes = [(addr, 16 + len(data)) for addr, _, data in recording.placed_nodes]
    if recording.name == "table-full" or not nodes:
        return
    if numbers(recording) >= (6, 16):
        assert facts.setup_data_map is None
        return
    marked = [(a, s) for a, s, kind in facts.setup_data_map if kind == 128]
    assert marked == nodes


def test_memory_is_ram_in_whole_pages_without_page_0(regular_recording):
    recording = regular_recording
    facts = read_console(recording.text)
    if recording.name in {"memblock-full", "type-128", "user-map"}:
        return
    if not facts.memory:
        assert facts.fatal
        return
    ram = [(a, a + s) for a, s, kind in painted(recording.table[1]) if kind == 1]
    low = [(max(start, 0x1000), end) for start, end in ram]
    assert facts.memory == tuple(low)


def test_a_kernel_that_did_not_reach_user_space_says_why(recording):
    facts = read_console(recording.text)
    assert facts.reached_init == (facts.fatal is None)


# The boot ends for reasons that lie beyond the maps: the model follows a kernel up to
# memblock. One line says what it was.
BEYOND_THE_MODEL = {
    "one-entry": "no RAM but the image's own: early page tables or trampoline fail",
    "wraps": "the same, with the made-up map of a machine that says 0 KiB",
    "memblock-full": "no RAM below 1 MiB for the real-mode trampoline",
    "islands": "from 5.15 on the reserved array cannot grow: BUG in extend_brk()",
    "table-full": "RAM that held a setup_data node is lost with no room to split it",
}


# A release's number does not say which corrections it got: 7.0.0 takes an empty table,
# 7.0.13 falls back as 7.1 does.
CORRECTED_LATER = {("7.0", "no-entry")}


def test_the_model_says_the_same(recording):
    view = view_of_console(recording.handoff, recording.text)
    model = predict(recording.handoff, profile_for(recording.release))
    lost = "messages-lost" in view.warnings
    for found in diff(model, view):
        if found.field == "fatal":
            assert recording.name in BEYOND_THE_MODEL, found
        elif (recording.release, recording.name) not in CORRECTED_LATER:
            assert lost, found
            assert re.match(r"(bios|extended)_map\[0\]", found.field), found


@pytest.mark.parametrize("release", ["5.10", "6.1", "6.12", "6.16", "6.18", "7.3"])
class TestRefusedTables:
    def test_one_entry_is_enough_from_7_1_on(self, recording_of, release):
        facts = read_console(recording_of(release, "one-entry").text)
        if release == "7.3":
            assert facts.bios_map == ((MIB, 319 * MIB, 1),)
            assert facts.fatal == "Real mode trampoline was not allocated"
        else:
            assert facts.map_source == "BIOS-e801"
            assert facts.fatal == "alloc_low_pages: can not alloc memory"
            assert "fallback-map" in facts.warnings

    def test_no_entry_gives_the_map_of_alt_mem_k(self, recording_of, release):
        facts = read_console(recording_of(release, "no-entry").text)
        assert facts.map_source == "BIOS-e801"
        assert facts.bios_map == ((0, 0x9F000, 1), (MIB, 300 * MIB, 1))
        assert facts.fatal is None

    def test_a_wrapping_entry_costs_the_whole_table(self, recording_of, release):
        facts = read_console(recording_of(release, "wraps").text)
        assert facts.map_source == "BIOS-e801"
        assert facts.bios_map == ((0, 0x9F000, 1),)

    def test_an_entry_up_to_2_64_ends_in_a_bug(self, recording_of, release):
        one = recording_of(release, "ends-at-2-64")
        facts = read_console(one.text)
        assert facts.bios_map == tuple(one.table[0])
        assert re.fullmatch(
            r"kernel BUG at drivers/firmware/memmap\.c:\d+ in firmware_map_add_entry",
            facts.fatal,
        )

    def test_a_full_table_names_what_it_ignores(self, recording_of, release):
        one = recording_of(release, "table-full")
        facts = read_console(one.text)
        assert "too-many-entries" in facts.warnings
        assert facts.lost_messages > 1000
        assert facts.ignored
        # The first messages are overwritten before there is a console.
        assert facts.bios_map is None


def test_memory_is_lost_when_memblock_cannot_grow(recording_of):
    for release in ("5.10", "6.1", "6.12", "6.16", "6.18", "7.3"):
        one = recording_of(release, "memblock-full")
        facts = read_console(one.text)
        assert "memblock-full" in facts.warnings
        assert len(facts.memory) == 128
        assert len([row for row in one.table[1] if row[2] == 1]) == 141
        assert facts.fatal == "Real mode trampoline was not allocated"


def test_the_user_map_is_after_the_options(recording_of):
    for release in ("5.10", "7.3"):
        facts = read_console(recording_of(release, "user-map").text)
        # mem=310M after the two of memmap=, applied to what each left.
        assert facts.user_map[-1] == (302 * MIB + MIB, 7 * MIB, 1)
        assert (300 * MIB, MIB, 2) in facts.user_map
        assert (302 * MIB, MIB, 3) in facts.user_map
        refused = read_console(recording_of(release, "user-map-refused").text)
        assert refused.fatal == "Invalid user supplied memory map"


def test_the_memblock_dump_gives_what_is_reserved(recording_of):
    for release in ("5.10", "6.1", "6.12", "6.16", "6.18", "7.3"):
        facts = read_console(recording_of(release, "memblock-debug").text)
        initrd = [span for span in facts.reserved if span.start == 96 * MIB]
        assert len(initrd) == 1
        plain = read_console(recording_of(release, "plain").text)
        assert plain.reserved is None
        assert plain.memory == facts.memory


def test_the_image_is_named_where_it_lies_outside_ram(recording_of):
    facts = read_console(recording_of("6.1", "one-entry").text)
    start, end = facts.kernel_range
    assert start % (2 * MIB) == 0
    assert 16 * MIB <= start < end
    assert "kernel-range-not-ram" in facts.warnings
    assert facts.memory == ()


# By the name of the recording; table-full dies where no end of the model is.
ENDS = {
    "ends-at-2-64": {"ends-at-2-64"},
    "memblock-full": {"no-trampoline"},
    "one-entry": {"no-free-memory", "no-trampoline"},
    "wraps": {"no-free-memory"},
    "user-map-refused": {"user-map-empty"},
    "islands": {"reserved-array-stuck"},
    "table-full": {None},
}


def test_an_end_that_the_model_knows_is_recognised(recording):
    facts = read_console(recording.text)
    if facts.fatal is None:
        assert facts.end is None
    else:
        assert (facts.end and facts.end.id) in ENDS[recording.name]
