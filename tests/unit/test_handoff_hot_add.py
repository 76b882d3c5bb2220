"""Whole memory blocks get a busy type; whatever holds none stays RESERVED."""

from dataclasses import replace

import pytest

from e820pool.deposits import DepositLedger, parse_range
from e820pool.errors import CapacityError, InputError
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.strict import validate_handoff
from e820pool.memory_devices import MemoryDevices
from e820pool.memory_map import MemoryMap

MIB, GIB = 1 << 20, 1 << 30
LOW = [(0, 0x9F000, 1), (MIB, 511 * MIB, 1)]
ROWS = [*LOW, (4 * GIB, GIB, 1)]
TOP = (5 * GIB - 16 * MIB, 16 * MIB, 2)


def rows_of(deposits, rows=ROWS, devices=None, **options):
    ledger = DepositLedger.of_ranges(parse_range(text) for text in deposits)
    machine = MemoryMap(entries=MemoryMap.of(rows).entries, devices=devices)
    handoff = build_handoff(machine, ledger, BuildOptions(**options))
    return handoff.table.rows()


def above(rows):
    return [row for row in rows if row[0] >= 4 * GIB]


@pytest.mark.parametrize(
    ("deposit", "kind"),
    [
        ("0x108000000+0x7fff000", 2),  # a page short of a block
        ("0x108000000+0x8000000", 3),
        ("0x108001000+0xfffe000", 2),  # two blocks, neither whole
        ("0x107fff000+0x8002000", 3),
        ("4G+1G", 3),
    ],
)
def test_a_deposit_is_of_a_busy_type_from_one_whole_aligned_block_on(deposit, kind):
    start, end = parse_range(deposit)
    assert (start, end - start, kind) in rows_of([deposit])


def test_small_deposits_that_fill_a_block_together_are_held_too():
    pieces = [f"{4 * GIB + at * MIB:#x}+1M" for at in range(128)]
    assert above(rows_of(pieces)) == [
        (4 * GIB, 128 * MIB, 3),
        (4 * GIB + 128 * MIB, GIB - 128 * MIB, 1),
    ]


def test_what_the_firmware_reserves_fills_a_block_but_keeps_its_type():
    rows = [*LOW, (4 * GIB, GIB - 16 * MIB, 1), TOP]
    deposit = (5 * GIB - 128 * MIB, 112 * MIB)
    table = rows_of([f"{deposit[0]:#x}+{deposit[1]:#x}"], rows)
    assert above(table)[1:] == [(*deposit, 3), TOP]


def test_a_gap_that_fills_a_block_does_not_protect_it():
    rows = [*LOW, (4 * GIB, 64 * MIB, 1)]
    assert above(rows_of(["4G+64M"], rows)) == [(4 * GIB, 64 * MIB, 3)]


def test_a_page_of_ram_left_in_a_block_is_protection_enough():
    assert above(rows_of(["0x100001000+0x7fff000"]))[1][2] == 2


def test_ram_that_is_given_up_around_deposits_counts_as_well():
    deposits = [f"{4 * GIB + at * 64 * MIB:#x}+4K" for at in range(16)]
    table = rows_of(deposits, max_entries=3)
    assert above(table) == [(4 * GIB, GIB, 3)]


def test_a_budget_counts_the_entry_that_the_firmwares_own_part_needs():
    rows = [*LOW, (4 * GIB, GIB - 16 * MIB, 1), TOP]
    deposit = f"{4 * GIB:#x}-{5 * GIB - 16 * MIB - 1:#x}"
    assert len(rows_of([deposit], rows, max_entries=4)) == 4
    with pytest.raises(CapacityError, match="limit is"):
        rows_of([deposit], rows, max_entries=2)


def test_split_says_reserved_whatever_it_holds():
    assert (4 * GIB, GIB, 2) in rows_of(["4G+1G"], encoding="split")


def test_a_device_that_was_added_after_boot_becomes_ram_around_its_deposits():
    """Firmware that lists its devices does the same, and no kernel adds it again."""
    devices = MemoryDevices(devices=((4 * GIB, 5 * GIB), (6 * GIB, 7 * GIB)))
    table = above(rows_of(["0x110000000+8K"], LOW, devices))
    assert table == [
        (4 * GIB, 256 * MIB, 1),
        (4 * GIB + 256 * MIB, 8192, 2),
        (4 * GIB + 256 * MIB + 8192, GIB - 256 * MIB - 8192, 1),
    ]


def test_in_a_region_of_unknown_devices_the_deposit_alone_is_named_and_busy():
    devices = MemoryDevices(regions=((4 * GIB, 8 * GIB),))
    table = above(rows_of(["0x110000000+8K"], LOW, devices))
    assert table == [(4 * GIB + 256 * MIB, 8192, 3)]


@pytest.mark.parametrize(
    "devices", [None, MemoryDevices(), MemoryDevices(devices=((5 * GIB, 6 * GIB),))]
)
def test_a_deposit_in_no_ram_and_no_known_device_is_refused(devices):
    with pytest.raises(InputError, match="not inside RAM"):
        rows_of(["0x110000000+8K"], LOW, devices)


def test_the_writer_refuses_a_table_that_leaves_a_block_to_be_added():
    ledger = DepositLedger.of_ranges([(4 * GIB, 5 * GIB)])
    split = build_handoff(MemoryMap.of(ROWS), ledger, BuildOptions(encoding="split"))
    with pytest.raises(InputError, match="whole memory blocks without a busy entry"):
        validate_handoff(replace(split, encoding="guarded"))


def test_type_3_is_not_taken_for_a_deposits_where_no_block_is_at_stake():
    ledger = DepositLedger.of_ranges([(5 * GIB - 8192, 5 * GIB)])
    handoff = build_handoff(MemoryMap.of(ROWS), ledger)
    table = handoff.table.entries.copy()
    table["type"][-1] = 3
    page = handoff.boot_params.with_table(table)
    with pytest.raises(InputError, match="are not RESERVED"):
        validate_handoff(replace(handoff, boot_params=page))


@pytest.mark.parametrize(
    ("devices", "match"),
    [
        (((GIB, GIB),), "is empty"),
        (((0, 1 << 64),), "beyond the limit"),
        (((0, 2 * GIB), (GIB, 3 * GIB)), "overlap"),
    ],
)
def test_devices_that_cannot_be_are_refused(devices, match):
    with pytest.raises(InputError, match=match):
        MemoryDevices(devices=devices)
