"""What kexec_file_load(2) does with deposits, by the running kernel's own table."""

import pytest

from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE
from e820pool.compat.file_load import file_load_of, findings_of_segments
from e820pool.extents import ExtentSet

MIB = 1 << 20
DEPOSITS = ExtentSet([(0x4000, 0x4004)])
HELD = (0x4000 << 12, 4 << 12, 2)
BELOW = (MIB, (0x4000 << 12) - MIB, 1)
ABOVE = (0x4004 << 12, 64 * MIB, 1)


def reserved(count):
    """Return so many entries that lie above all others."""
    return tuple(((1 << 33) + 2 * n * 4096, 4096, 2) for n in range(count))


def test_what_was_reserved_at_the_boot_is_kept():
    found = file_load_of(DEPOSITS, (BELOW, HELD, ABOVE))
    assert (found.row, found.exposed) == ("kept", ExtentSet())
    assert list(findings_of_segments(found)) == []


@pytest.mark.parametrize("kind", [1, 128])
def test_what_is_ram_in_that_table_was_made_since(kind):
    """Type 128 is what 4.14 to 6.6 make of a setup_data node: RAM to the next one."""
    rows = ((MIB, 0x4002_000 - MIB, kind), (0x4002 << 12, 64 * MIB, 2))
    found = file_load_of(DEPOSITS, rows)
    assert (found.row, found.exposed) == ("made-since", ExtentSet([(0x4000, 0x4002)]))
    (finding,) = findings_of_segments(found)
    assert (finding.id, finding.level) == ("part-in-deposit", "unsafe")
    assert finding.extents == ((0x4000, 0x4002),)


@pytest.mark.parametrize(
    ("count", "row"),
    [(E820_MAX_ENTRIES_ZEROPAGE, "kept"), (E820_MAX_ENTRIES_ZEROPAGE + 1, "cut")],
)
def test_beyond_128_entries_what_is_behind_is_cut(count, row):
    rows = (BELOW, HELD, *reserved(count - 3), ABOVE)
    found = file_load_of(DEPOSITS, rows)
    assert (found.nr_entries, found.row) == (count, row)
    assert found.lost_bytes == (64 * MIB if row == "cut" else 0)


def test_a_deposit_whose_ram_is_behind_the_cut_is_not_exposed():
    rows = (*reserved(E820_MAX_ENTRIES_ZEROPAGE), (MIB, 1 << 30, 1))
    assert file_load_of(DEPOSITS, rows).row == "cut"


def test_ram_under_a_reserved_entry_is_none():
    found = file_load_of(DEPOSITS, ((MIB, 1 << 30, 1), HELD))
    assert found.row == "kept"
