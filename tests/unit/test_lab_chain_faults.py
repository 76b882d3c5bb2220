"""Faults between the hops of a chain: no rebuilt pool ever has a page in use.

The chain is modelled; every kernel of it is asked by :func:`predict`. A fault is put
into the record or the table that the last kernel gives to its user space.
"""

from dataclasses import replace

import pytest

from e820pool.deposits import Deposit, DepositLedger
from e820pool.extents import ExtentSet, Span
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.kernel.early_boot import predict, predict_input
from e820pool.kernel.profiles import profile_for
from e820pool.loading.kexec_loaders import by_kexec_file, by_kexec_tools
from e820pool.memory_map import MemoryMap
from e820pool.pool.rebuild import rebuild

MIB, PAGE = 1 << 20, 4096
ROWS = ((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2), (MIB, 511 * MIB, 1))
FIRMWARE = MemoryMap.of(ROWS)
OTHER = MemoryMap.of([*ROWS[:2], (MIB, 510 * MIB, 1)])
KERNELS = ("6.1", "5.10", "6.1", "7.3")


def made_by(hop):
    """Return what kernel number ``hop`` deposits: twenty pages, scattered."""
    base = (128 + 64 * hop) << 8
    return [
        Deposit(start_pfn=base + 16 * n, end_pfn=base + 16 * n + 1, owner=hop)
        for n in range(20)
    ]


def chain():
    """Return (kernel's view, record, ledger) of each hop after the first."""
    ledger, hops = DepositLedger(), []
    for hop, kernel in enumerate(KERNELS):
        handoff = build_handoff(FIRMWARE, ledger, BuildOptions(generation=hop))
        view = predict(handoff, profile_for(kernel))
        if hop:
            result = rebuild(view, handoff.record_bytes(), FIRMWARE)
            assert result.ledger == ledger, result.findings
            hops.append((view, handoff.record_bytes(), ledger))
            ledger = result.ledger
            if hop == 2:
                # What the first kernel deposited is taken back.
                gone = ExtentSet(
                    (one.start_pfn, one.end_pfn) for one in ledger if one.owner == 0
                )
                ledger = ledger.withdraw(gone)
        ledger = ledger.deposit(made_by(hop))
    return hops


HOPS = chain()
VIEW, RECORD, LEDGER = HOPS[-1]


def refused(result):
    """Check that there is no pool; return the ids of what speaks against it."""
    assert result.pool is None
    assert result.ledger is None
    return {one.id for one in result.findings if one.level != "note"}


def with_row(view, row):
    """Return the view of a kernel in whose table a range has another type."""
    rows = MemoryMap.of([*view.table, (*row[:2], 0xFFFF_0000)]).flatten().rows()
    table = [(a, s, row[2] if k == 0xFFFF_0000 else k) for a, s, k in rows]
    return replace(view, table=tuple(table))


def test_the_chain_itself_is_rebuilt_at_every_hop():
    assert [len(ledger) for _, _, ledger in HOPS] == [20, 40, 40]
    assert {one.owner for one in LEDGER} == {1, 2}


def test_a_record_of_another_machine():
    other = build_handoff(OTHER, LEDGER, BuildOptions(generation=3))
    found = refused(rebuild(VIEW, other.record_bytes(), FIRMWARE))
    assert found == {"record-other-machine"}


@pytest.mark.parametrize("ago", [1, 2])
def test_a_stale_record_names_pages_that_are_ram_again(ago):
    _, stale, ledger = HOPS[-1 - ago]
    found = refused(rebuild(VIEW, stale, FIRMWARE))
    assert "extent-is-ram" in found
    assert ledger.extents & VIEW.usable_pages()


def test_a_stale_record_whose_pages_are_all_still_deposited():
    """Nothing in the table speaks against it: the generation does."""
    view, _, _ = HOPS[1]
    stale = HOPS[0][1]
    found = refused(rebuild(view, stale, FIRMWARE, expected_generation=2))
    assert found == {"record-stale"}


def test_a_table_that_lost_an_entry_between_the_hops():
    first = next(iter(LEDGER))
    rows = [row for row in VIEW.table if row[0] != first.start_pfn << 12]
    found = refused(rebuild(replace(VIEW, table=tuple(rows)), RECORD, FIRMWARE))
    assert found == {"extent-not-in-table"}


@pytest.mark.parametrize(
    ("kind", "ident"),
    [(1, "extent-is-ram"), (128, "extent-is-ram"), (7, "extent-wrong-type")],
)
def test_a_table_in_which_a_deposit_has_another_type(kind, ident):
    first = next(iter(LEDGER))
    view = with_row(VIEW, (first.start_pfn << 12, PAGE, kind))
    assert refused(rebuild(view, RECORD, FIRMWARE)) == {ident}


def test_ram_that_was_hot_added_over_a_deposit():
    first = next(iter(LEDGER))
    added = Span.at((first.start_pfn << 12) - MIB, 2 * MIB)
    view = replace(VIEW, memory=(*VIEW.memory, added))
    assert "extent-is-usable" in refused(rebuild(view, RECORD, FIRMWARE))


def test_a_kernel_image_over_a_deposit():
    first = next(iter(LEDGER)).start_pfn << 12
    view = replace(VIEW, kernel_range=Span(first - MIB, first + MIB))
    assert "extent-under-kernel" in refused(rebuild(view, RECORD, FIRMWARE))


@pytest.fixture(scope="module")
def small():
    """Return a kernel's view and a short record, of which every byte has its turn."""
    ledger = DepositLedger(made_by(0)[:3])
    handoff = build_handoff(FIRMWARE, ledger, BuildOptions())
    return predict(handoff, profile_for("5.10")), handoff.record_bytes()


def test_a_record_with_a_flipped_bit_in_any_byte(small):
    view, record = small
    assert rebuild(view, record, FIRMWARE).pool is not None
    for at in range(len(record)):
        bad = bytearray(record)
        bad[at] ^= 1 << at % 8
        assert refused(rebuild(view, bytes(bad), FIRMWARE)) <= {
            "record-bad-magic",
            "record-newer-version",
            "record-truncated",
            "record-bad-crc",
        }


def test_a_record_cut_anywhere(small):
    view, record = small
    for size in range(len(record)):
        found = refused(rebuild(view, record[:size], FIRMWARE))
        assert found == {"record-truncated"}, size


def test_what_a_loader_hands_on_by_itself_is_never_taken_for_more_than_it_is():
    """The new deposits of a kernel are in no table: no loader knows of them."""
    view = predict(
        build_handoff(FIRMWARE, LEDGER, BuildOptions(generation=3)), profile_for("6.1")
    )
    grown = LEDGER.deposit(made_by(4))
    record = build_handoff(FIRMWARE, grown, BuildOptions(generation=4)).record_bytes()
    for handed in (by_kexec_file(view), by_kexec_tools(view.firmware_map)):
        following = predict_input(handed.boot_input(), profile_for("5.10"))
        assert "extent-is-ram" in refused(rebuild(following, record, FIRMWARE))
        inferred = rebuild(following, None, FIRMWARE)
        usable = following.usable_pages()
        assert inferred.pool is None or not inferred.ledger.extents & usable


def test_entries_stay_the_same_while_deposits_do():
    sizes = {
        len(build_handoff(FIRMWARE, LEDGER, BuildOptions(generation=n)).table)
        for n in range(1, 9)
    }
    assert len(sizes) == 1
