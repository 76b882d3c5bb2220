"""Tables fitted into a budget, and every refusal."""

from dataclasses import replace

import numpy as np
import pytest
from compat_cases import check

from e820pool.abi.e820 import table_of
from e820pool.abi.pool_record import parse_record
from e820pool.deposits import DepositLedger
from e820pool.errors import CapacityError, InputError
from e820pool.extents import ByteRangeSet
from e820pool.handoff.budget import budget_curve, fit_table, given_up_ram
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.encodings import encoding_named
from e820pool.handoff.strict import validate_handoff
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap
from e820pool.pool.rebuild import rebuild

MIB = 1 << 20
GIB = 1 << 30
RAM, RESERVED, ACPI = 1, 2, 3


def rows_of(fitted):
    return fitted.entries.tolist()


def between_deposits(*sizes, base=16 * MIB):
    # RESERVED pages with RAM of the given sizes between them.
    rows, at = [], base
    for size in sizes:
        rows += [(at, 4096, RESERVED), (at + 4096, size, RAM)]
        at += 4096 + size
    return table_of([*rows, (at, 4096, RESERVED)])


def test_a_table_within_its_budget_stays_as_it_is():
    table = between_deposits(8192, 4096)
    for budget in (table.size, table.size + 1):
        fitted = fit_table(table, budget)
        assert np.array_equal(fitted.entries, table)
        assert not fitted.given_up


def test_ram_between_two_deposits_saves_two_entries():
    fitted = fit_table(between_deposits(8192, 4096), 4)
    at = 16 * MIB
    assert rows_of(fitted) == [
        (at, 4096, RESERVED),
        (at + 4096, 8192, RAM),
        (at + 12288, 12288, RESERVED),
    ]
    assert list(fitted.given_up) == [(at + 16384, at + 20480)]


def test_ram_beside_a_deposit_and_another_type_saves_one_entry():
    rows = [(MIB, 4096, RESERVED), (MIB + 4096, 4096, RAM), (MIB + 8192, 4096, ACPI)]
    fitted = fit_table(table_of(rows), 2)
    assert rows_of(fitted) == [(MIB, 8192, RESERVED), (MIB + 8192, 4096, ACPI)]


def test_one_large_run_is_kept_when_two_small_ones_save_as_much():
    rows = [
        (MIB, 4096, ACPI),
        (MIB + 4096, 4096, RAM),
        (MIB + 8192, 4096, RESERVED),
        (MIB + 12288, MIB, RAM),
        (2 * MIB + 12288, 4096, RESERVED),
        (2 * MIB + 16384, 4096, RAM),
        (2 * MIB + 20480, 4096, ACPI),
    ]
    fitted = fit_table(table_of(rows), 5)
    assert fitted.given_up.total_bytes == 8192


def test_ram_that_touches_nothing_reserved_is_left_out_only_above_four_gib():
    rows = [(GIB, 4096, RAM), (2 * GIB, MIB, RAM), (5 * GIB, 2 * MIB, RAM)]
    fitted = fit_table(table_of(rows), 2)
    assert rows_of(fitted) == rows[:2]
    assert list(fitted.given_up) == [(5 * GIB, 5 * GIB + 2 * MIB)]
    with pytest.raises(CapacityError, match=r"the limit is 1, .* leaves 2"):
        fit_table(table_of(rows), 1)


def test_conventional_memory_is_never_given_up():
    rows = [(0, 4096, RESERVED), (4096, 4096, RAM), (8192, 4096, RESERVED)]
    with pytest.raises(CapacityError, match="leaves 3"):
        fit_table(table_of(rows), 2)


def test_ram_that_must_be_kept_is_kept():
    table = between_deposits(8192, 4096)
    last = int(table["addr"][3])
    fitted = fit_table(table, 3, keep=ByteRangeSet([(last, last + 1)]))
    assert fitted.given_up.total_bytes == 8192
    with pytest.raises(CapacityError):
        fit_table(table, 2, keep=ByteRangeSet([(last, last + 1)]))


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [(-1, 0, False), (-1, 1, True), (4095, 4096, True), (4096, 4097, False)],
)
def test_a_run_that_only_touches_what_must_be_kept_may_go(start, end, kept):
    """`start` and `end` are bytes from the run's own start; it is of 4096 bytes."""
    table = between_deposits(8192, 4096)
    last = int(table["addr"][3])
    fitted = fit_table(table, 3, keep=ByteRangeSet([(last + start, last + end)]))
    assert fitted.given_up.total_bytes == (8192 if kept else 4096)


def test_of_equal_runs_the_highest_goes_first():
    fitted = fit_table(between_deposits(4096, 4096, 4096), 3)
    first = 16 * MIB + 4096
    assert rows_of(fitted)[1] == (first, 4096, RAM)


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 8192, RAM), (4096, 8192, RESERVED)],
        [(8192, 4096, RAM), (0, 4096, RAM)],
        [(0, 4096, RAM), (4096, 4096, RAM)],
        [(0, 4096, RAM), (8192, 0, RAM)],
        [(0, 4096, RAM), ((1 << 64) - 4096, 4096, RAM)],
    ],
    ids=["overlap", "order", "one entry in two", "empty", "ends at 2^64"],
)
def test_a_table_that_is_no_flat_table_is_refused(rows):
    with pytest.raises(InputError, match=r"entry \d at 0x"):
        fit_table(table_of(rows), 1)


def test_the_curve_holds_only_choices_that_no_other_beats():
    # Beside a deposit and a hole: one entry for 16 KiB; between deposits: two for 4.
    rows = [
        (MIB, 4096, RESERVED),
        (MIB + 4096, 4096, RAM),
        (MIB + 8192, 4096, RESERVED),
        (MIB + 12288, 16384, RAM),
    ]
    curve = budget_curve(table_of(rows))
    assert curve.nr_entries.tolist() == [4, 2, 1]
    assert curve.given_up_bytes.tolist() == [0, 4096, 20480]
    assert [curve.bytes_for(n) for n in (9, 4, 3, 2, 1, 0)] == [
        0,
        0,
        4096,
        4096,
        20480,
        None,
    ]


def test_an_empty_table_fits():
    assert fit_table(table_of([]), 0).entries.size == 0
    assert budget_curve(table_of([])).nr_entries.tolist() == [0]


def built(budget, deposits, **options):
    rows = [(0, 0x9F000, RAM), (MIB, 511 * MIB, RAM), (4 * GIB, GIB, RAM)]
    return build_handoff(
        MemoryMap.of(rows),
        DepositLedger.of_ranges(deposits),
        BuildOptions(max_entries=budget, **options),
    )


# 64 MiB apart, so that parts have their place whatever is given up.
APART = [(at, at + MIB) for at in range(64 * MIB, 512 * MIB, 64 * MIB)]


def test_a_handoff_fits_its_budget_and_says_what_that_costs():
    handoff = built(13, APART)
    assert len(handoff.table) == 13
    given_up = given_up_ram(handoff)
    assert given_up.total_bytes == 2 * 63 * MIB
    assert not given_up & handoff.ledger.extents.to_bytes()


def test_what_is_given_up_is_no_deposit_in_the_record():
    handoff = built(5, APART)
    record = parse_record(handoff.record_bytes())
    recorded = {(one.base_pfn << 12, one.nr_pages << 12) for one in record.extents}
    assert recorded == {(start, end - start) for start, end in APART}
    result = rebuild(predict(handoff, profile_for("6.1")), handoff.record_bytes())
    assert result.ledger == handoff.ledger


def test_no_part_lies_in_what_is_given_up():
    handoff = built(5, APART)
    given_up = given_up_ram(handoff)
    assert given_up
    for part in handoff.segments():
        assert not given_up.overlaps(part.addr, part.end)


def test_ram_stays_under_a_part_whose_place_is_asked_for():
    place = {"cmdline": 400 * MIB}
    handoff = built(5, APART, addresses=place)
    assert handoff.cmdline_addr == 400 * MIB


def test_without_a_record_a_budget_is_refused_when_it_costs_ram():
    assert len(built(17, APART, carrier="none").table) == 17
    with pytest.raises(InputError, match="would be taken for deposits"):
        built(16, APART, carrier="none")


def test_a_budget_below_what_any_choice_reaches_is_refused():
    with pytest.raises(CapacityError, match=r"the limit is 1, .* leaves 2"):
        built(1, APART)


def test_a_budget_that_leaves_no_place_for_the_parts_is_refused():
    with pytest.raises(CapacityError, match="no place for boot_params"):
        built(2, APART)


def test_without_a_budget_nothing_is_given_up():
    handoff = built(None, APART)
    assert not given_up_ram(handoff)


def test_more_entries_than_any_kernel_takes_are_refused_with_the_remedy():
    apart = [(at, at + 4096) for at in range(2 * MIB, 500 * MIB, 8192)]
    with pytest.raises(CapacityError, match=r"the limit is 3200, .*--max-entries"):
        built(None, apart)
    # Runs between deposits save two entries each.
    assert len(built(3200, apart).table) in (3199, 3200)


def test_a_handoff_without_the_firmware_map_tells_of_nothing_given_up():
    handoff = replace(built(5, APART), firmware_map=None)
    assert not given_up_ram(handoff)


class TestHybrid:
    def test_a_deposit_above_four_gib_has_no_entry(self):
        high = (4 * GIB + MIB, 4 * GIB + 2 * MIB)
        handoff = built(None, [APART[0], high], encoding="hybrid")
        assert handoff.table.rows()[-4:] == [
            (64 * MIB, MIB, RESERVED),
            (65 * MIB, 447 * MIB, RAM),
            (4 * GIB, MIB, RAM),
            (4 * GIB + 2 * MIB, 1022 * MIB, RAM),
        ]

    def test_deposits_apart_from_each_other_cost_one_entry_each(self):
        high = [(4 * GIB + at, 4 * GIB + at + MIB) for at in range(MIB, GIB, 4 * MIB)]
        split, hybrid = (
            len(built(None, high, encoding=name).table) for name in ("split", "hybrid")
        )
        assert split - 3 == 2 * len(high)
        assert hybrid - 3 == len(high)

    def test_a_deposit_across_four_gib_is_reserved_below_and_bare_above(self):
        rows = [(0, 0x9F000, RAM), (MIB, 5 * GIB, RAM)]
        ledger = DepositLedger.of_ranges([(4 * GIB - MIB, 4 * GIB + MIB)])
        table = encoding_named("hybrid").make_table(MemoryMap.of(rows), ledger)
        assert table.tolist()[2:] == [
            (4 * GIB - MIB, MIB, RESERVED),
            (4 * GIB + MIB, GIB, RAM),
        ]

    def test_types_of_the_firmware_stay_even_the_highest_number(self):
        odd = (6 * GIB, GIB, 0xFFFFFFFF)
        rows = [(0, GIB, RAM), (5 * GIB, GIB, RAM), odd]
        ledger = DepositLedger.of_ranges([(6 * GIB - MIB, 6 * GIB)])
        table = encoding_named("hybrid").make_table(MemoryMap.of(rows), ledger)
        assert table.tolist()[1:] == [(5 * GIB, GIB - MIB, RAM), odd]

    def test_a_deposit_below_four_gib_without_an_entry_is_refused(self):
        handoff = built(None, APART, encoding="hybrid")
        page = handoff.boot_params
        bare = page.e820_map[page.e820_map["type"] != RESERVED]
        with pytest.raises(InputError, match="not RESERVED"):
            validate_handoff(replace(handoff, boot_params=page.with_table(bare)))

    def test_a_budget_leaves_out_ram_between_bare_deposits(self):
        high = [(4 * GIB + MIB, 4 * GIB + 2 * MIB), (4 * GIB + 3 * MIB, 5 * GIB)]
        handoff = built(3, high, encoding="hybrid")
        assert given_up_ram(handoff).total_bytes == MIB
        assert len(handoff.table) == 3

    def test_check_says_that_no_pool_is_rebuilt_from_bare_deposits(self):
        high = (4 * GIB + MIB, 4 * GIB + 2 * MIB)
        handoff = built(None, [APART[0], high], encoding="hybrid")
        profile = profile_for("6.1")
        view = predict(handoff, profile)
        verdict = check(handoff, profile, view)
        assert verdict.verdict == "degraded"
        (finding,) = [one for one in verdict.findings if one.level == "degraded"]
        assert finding.id == "not-reserved"
        assert finding.extents == ((high[0] >> 12, high[1] >> 12),)
        assert rebuild(view, handoff.record_bytes()).pool is None
