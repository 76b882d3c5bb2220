"""Findings about pages that this kernel can touch: each with a pass and a fail."""

import pytest
from compat_cases import (
    AT,
    CARVED,
    RECORD,
    SIZE,
    WHOLE,
    WINDOW,
    G,
    M,
    found,
    levels,
    verdict,
)

from e820pool.compat.pci_gap import pci_gap
from e820pool.extents import ExtentSet, Span
from e820pool.kernel.profiles import known_releases


@pytest.mark.parametrize("release", known_releases())
def test_a_carved_table_is_safe_and_nothing_is_noted(release):
    told = verdict(CARVED, release, load_window=WINDOW, setup_data=(RECORD,))
    assert (told.verdict, told.findings) == ("safe", ())


@pytest.mark.parametrize("release", known_releases())
def test_ram_over_a_deposit_is_usable(release):
    assert levels("usable-as-ram", WHOLE, release) == ["unsafe"]


def test_an_image_over_a_deposit_makes_it_ram():
    ident = "forced-to-ram-by-kernel-image"
    assert levels(ident, CARVED, kernel_range=Span(AT - M, AT + M)) == ["unsafe"]
    assert levels(ident, CARVED, kernel_range=Span(AT - M, AT)) == []


def test_a_load_window_over_a_deposit_is_written_to():
    ident = "touched-by-decompressor"
    assert levels(ident, CARVED, load_window=Span(AT - M, AT + 1)) == ["unsafe"]
    assert levels(ident, CARVED, load_window=Span(AT - 64 * M, AT)) == []


def test_kaslr_chooses_from_raw_ram_entries():
    """RESERVED laid over RAM: 5.10 to 7.3 were seen to unpack into it."""
    ident, over = "touched-by-decompressor", [*WHOLE, (AT, SIZE, 2)]
    for release in ("4.14", "5.10", "6.1", "7.3"):
        assert levels(ident, over, release, load_window=WINDOW) == ["unsafe"]
    for quiet in ({"release": "3.10"}, {"cmdline": "nokaslr"}):
        assert levels(ident, over, load_window=WINDOW, **quiet) == []


def test_persistent_memory_is_read_by_its_driver():
    rows = [row if row[2] != 2 or row[0] < M else (*row[:2], 12) for row in CARVED]
    assert levels("driver-takes-deposit", rows, "4.4") == ["unsafe"]
    assert levels("driver-takes-deposit", rows, "3.10") == []
    assert levels("driver-takes-deposit", CARVED, "4.4") == []


@pytest.mark.parametrize(
    ("release", "size", "want"),
    [
        ("6.1", 256 * M, []),
        ("6.12", 256 * M, ["unsafe"]),
        ("7.3", 256 * M, ["unsafe"]),
        ("7.3", 127 * M, []),
    ],
)
def test_whole_blocks_of_soft_reserved_memory_are_added_by_a_driver(
    release, size, want
):
    rows = [*CARVED[:3], (AT, size, 0xEFFF_FFFF), (AT + size, M, 1)]
    told = found("driver-takes-deposit", rows, release)
    assert [one.level for one in told] == want
    assert all("hmem" in one.source for one in told)


def test_soft_reserved_memory_up_to_2_64_is_no_crash():
    rows = [*CARVED, ((1 << 64) - G, G, 0xEFFF_FFFF)]
    assert levels("driver-takes-deposit", rows, "7.3") == []


def test_a_count_of_slots_is_told():
    told = verdict([*WHOLE, (AT, SIZE, 2)], load_window=WINDOW)
    (one,) = [one for one in told.findings if one.id == "touched-by-decompressor"]
    assert " slots cover " in one.message
    assert ExtentSet(one.extents) == ExtentSet([(AT >> 12, (AT + SIZE) >> 12)])


class TestPciGap:
    """The hole below 4 GiB that becomes the gap for PCI devices."""

    # RAM up to 1 GiB; its last 128 MiB are deposited. What remains ends at 64 MiB.
    TOP = (G - 128 * M, 128 * M)
    RAM = (*CARVED[:2], (M, G - 129 * M, 1))

    @pytest.mark.parametrize("release", ["2.6.32", "6.1", "7.0", "7.3"])
    def test_a_bare_deposit_at_the_top_of_low_ram_is_given_to_devices(self, release):
        told = levels("pci-gap-moved", self.RAM, release, deposits=(self.TOP,))
        assert told == ["unsafe"]

    @pytest.mark.parametrize("release", ["2.6.32", "6.1", "7.0", "7.3"])
    def test_a_reserved_deposit_there_is_not(self, release):
        rows = [*self.RAM, (*self.TOP, 2)]
        assert levels("pci-gap-moved", rows, release, deposits=(self.TOP,)) == []

    def test_a_bare_deposit_that_the_largest_gap_does_not_hold_is_not(self):
        bare = [row for row in CARVED if row[0] != AT]
        assert levels("pci-gap-moved", bare) == []

    @pytest.mark.parametrize("release", ["2.6.32", "6.1", "7.3"])
    def test_what_follows_ram_is_a_resource_up_to_the_next_64_mib(self, release):
        rows = [*CARVED[:2], (M, G - 129 * M - 16 * M, 1)]
        inside, beyond = (G - 144 * M, 16 * M), (G - 144 * M, 17 * M)
        assert levels("pci-gap-moved", rows, release, deposits=(inside,)) == []
        assert levels("pci-gap-moved", rows, release, deposits=(beyond,)) == ["unsafe"]

    @pytest.mark.parametrize("release", ["6.1", "7.3"])
    def test_every_hole_above_the_start_of_the_gap_is_a_candidate(self, release):
        """The largest hole is below the one with the deposit."""
        rows = [*CARVED[:2], (M, 511 * M, 1), (2 * G, G, 2)]
        higher = (3 * G + 512 * M, 16 * M)
        rows.append((3 * G + 768 * M, 16 * M, 2))
        told = levels("pci-gap-moved", rows, release, deposits=(higher,))
        assert told == ["unsafe"]

    def test_what_is_below_the_first_entry_counts_from_7_0_on(self):
        rows = [(3 * G, 512 * M, 1)]
        assert pci_gap(rows, upwards=False) == (7 * G // 2, 4 * G)
        assert pci_gap(rows, upwards=True) == (0, 3 * G)

    def test_of_equal_gaps_7_0_takes_the_highest(self):
        rows = [(0, G, 1), (2 * G, G, 1)]
        assert pci_gap(rows, upwards=False) == (G, 2 * G)
        assert pci_gap(rows, upwards=True) == (3 * G, 4 * G)

    @pytest.mark.parametrize("upwards", [False, True])
    def test_a_gap_has_four_mib_at_least_and_ends_at_4_gib(self, upwards):
        rows = [(0, 4 * G - 4 * M, 1), (8 * G, G, 1)]
        assert pci_gap(rows, upwards=upwards) == (4 * G - 4 * M, 4 * G)

    @pytest.mark.parametrize("upwards", [False, True])
    def test_without_a_gap_4_mib_above_the_end_of_ram_are_taken(self, upwards):
        rows = [(0, 4 * G - 4 * M + 1, 1)]
        start = 4 * G - 4 * M + M
        assert pci_gap(rows, upwards=upwards) == (start, start + 4 * M)
        rows = [(0, 8 * G, 1), (8 * G, 2 * M, 3)]
        for acpi, start in ((False, 8 * G + M), (True, 8 * G + 3 * M)):
            gap = pci_gap(rows, upwards=upwards, counts_acpi=acpi)
            assert gap == (start, start + 4 * M)

    def test_a_reserved_deposit_above_the_end_of_ram_is_no_place_for_a_device(self):
        rows = [(0, G, 1), (G, 3 * G, 2)]
        at = (G + 2 * M, M)
        assert levels("pci-gap-moved", rows, deposits=(at,)) == []
        bare = [(0, G, 1), (G, M, 2), (G + 4 * M + 0x1000, 3 * G, 2)]
        assert levels("pci-gap-moved", bare, deposits=(at,)) == ["unsafe"]

    def test_a_gap_that_the_command_line_moves_is_a_note(self):
        rows = [*CARVED[:5], (AT + SIZE, 2 * G, 1)]
        assert levels("pci-gap-moved", rows, cmdline="mem=1G") == ["note"]
        assert levels("pci-gap-moved", rows, cmdline="memmap=1M#2G") == []
