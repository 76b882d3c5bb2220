"""An EFI memory map that is added to the table."""

import pytest

from e820pool.abi.e820 import table_of
from e820pool.kernel.boot_input import BootInput, EfiMemmap
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.profiles import profile_for

M = 1 << 20
PLAIN = [(0, 0x9F000, 1), (0x9F000, 0x61000, 2), (M, 127 * M, 1)]
CONVENTIONAL, WRITE_BACK, SPECIAL = 7, 0x8, 1 << 18


def table(*rows, cmdline="", release="6.1"):
    efi = EfiMemmap(rows=tuple((a, s >> 12, kind, attr) for a, s, kind, attr in rows))
    inp = BootInput(table=table_of(PLAIN), efi=efi, cmdline=cmdline)
    seen = predict_input(inp, profile_for(release))
    return [row for row in seen.table if row[0] >= 128 * M]


def test_a_map_is_not_added_unless_asked_for():
    region = (200 * M, M, CONVENTIONAL, WRITE_BACK)
    assert table(region) == []
    assert table(region, cmdline="add_efi_memmap") == [(200 * M, M, 1)]
    assert table(region, cmdline="add_efi_memmap=1") == [(200 * M, M, 1)]


@pytest.mark.parametrize(
    ("kind", "attribute", "becomes"),
    [
        *((kind, WRITE_BACK, 1) for kind in (1, 2, 3, 4, 7)),
        *((kind, 1, 2) for kind in (1, 2, 3, 4, 7)),
        *((kind, WRITE_BACK, 2) for kind in (0, 5, 6, 11, 12, 13, 15)),
        *((8, 0, 5), (9, 0, 3), (10, 0, 4), (14, 0, 7)),
    ],
)
def test_each_efi_type_has_an_e820_type(kind, attribute, becomes):
    found = table((200 * M, M, kind, attribute), cmdline="add_efi_memmap")
    assert found == [(200 * M, M, becomes)]


def test_special_purpose_memory_brings_the_whole_map():
    region = (200 * M, M, CONVENTIONAL, WRITE_BACK)
    special = (300 * M, M, CONVENTIONAL, WRITE_BACK | SPECIAL)
    both = [(200 * M, M, 1), (300 * M, M, 0xEFFF_FFFF)]
    assert table(region, special) == both
    assert table(region, special, release="5.4") == []
    for line in ("efi=nosoftreserve", "efi=debug,nosoftreserve"):
        assert table(region, special, cmdline=line) == []
    plain = [(200 * M, M, 1), (300 * M, M, 1)]
    line = "efi=nosoftreserve add_efi_memmap"
    assert table(region, special, cmdline=line) == plain


# 4.4.178, 4.9.229, 4.14.67.
@pytest.mark.parametrize(
    ("release", "heeds"), [("4.4", True), ("4.9", False), ("4.14", True)]
)
def test_4_9_reads_the_map_before_it_reads_options(release, heeds):
    region = (200 * M, M, CONVENTIONAL, WRITE_BACK)
    assert bool(table(region, cmdline="add_efi_memmap", release=release)) == heeds


def test_a_map_that_is_not_at_hand_adds_nothing():
    inp = BootInput(table=table_of(PLAIN), efi=EfiMemmap(), cmdline="add_efi_memmap")
    assert list(predict_input(inp, profile_for("6.1")).bios_map) == PLAIN
    assert len(predict_input(inp, profile_for("6.1")).table) == 4
