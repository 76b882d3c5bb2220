"""Cells of the comparison: verdict, costs, what survives; how a machine contradicts."""

from dataclasses import replace

import pytest

from e820pool.deposits import DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ExtentSet
from e820pool.handoff.placement import ASSUMED_WINDOW
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.view import KernelView
from e820pool.memory_map import MemoryMap
from e820pool.pool.designs import (
    contradiction,
    design_cell,
    design_handoff,
)

MIB, PAGE = 1 << 20, 4096
MACHINE = MemoryMap.of(((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2), (MIB, 511 * MIB, 1)))
LEDGER = DepositLedger.of_ranges(
    (at * MIB, at * MIB + 3 * PAGE) for at in (128, 200, 260, 320, 380, 440)
)


def cell(encoding, release="6.1", ledger=LEDGER):
    return design_cell(MACHINE, ledger, encoding, profile_for(release))


def test_split_costs_entries_and_nothing_else():
    found = cell("split")
    assert found.verdict.verdict == "safe"
    assert (found.nr_entries, found.nr_words_bytes, found.wasted_bytes) == (15, 0, 0)
    assert found.is_rebuildable
    assert dict(found.survives) == {"kexec-load": True, "kexec-file": True}


def test_words_cost_the_command_line_and_do_not_survive():
    found = cell("memmap-list")
    assert found.nr_entries == 3
    assert found.nr_words_bytes == len(found.handoff.cmdline) > 100
    assert dict(found.survives) == {"kexec-load": False, "kexec-file": False}


def test_isolation_costs_ram():
    found = cell("up-front")
    assert 300 * MIB < found.wasted_bytes < 512 * MIB
    assert found.nr_entries == 5
    assert found.is_rebuildable


def test_type_128_survives_where_it_is_no_type():
    old, new = cell("kern-128", "6.1"), cell("kern-128", "7.3")
    assert set(old.survives.values()) == {False}
    assert set(new.survives.values()) == {True}
    assert not old.is_rebuildable
    assert not new.is_rebuildable


def test_before_kexec_file_load_there_is_nothing_to_say_of_it():
    assert cell("split", "3.10").survives["kexec-file"] is None


@pytest.mark.parametrize("encoding", ["series-v2", "kho", "kho-v4"])
def test_what_only_its_own_kernels_read_is_ram_to_all_others(encoding):
    pytest.importorskip("libfdt", reason="pip install pylibfdt")
    found = cell(encoding)
    assert found.verdict.verdict == "unsafe"
    assert not found.is_rebuildable
    assert set(found.survives.values()) == {False}


def test_what_cannot_be_built_says_why():
    many = DepositLedger.of_ranges(
        (at * MIB, at * MIB + PAGE) for at in range(100, 500, 2)
    )
    found = cell("memmap-args", ledger=many)
    assert found.verdict is None
    assert "command line" in found.reason


def test_deposits_outside_ram_are_the_callers_fault():
    outside = DepositLedger.of_ranges([(600 * MIB, 601 * MIB)])
    with pytest.raises(InputError, match="not inside RAM"):
        cell("split", ledger=outside)


def test_without_an_image_a_window_is_assumed_where_it_can_be():
    def window_for(ledger):
        return cell("split", ledger=ledger).verdict.view.load_window

    assert design_handoff(MACHINE, LEDGER, "split").kernel_window is None
    assert window_for(LEDGER) == ASSUMED_WINDOW
    under = DepositLedger.of_ranges([(32 * MIB, 33 * MIB)])
    window = (34 * MIB, 34 * MIB + ASSUMED_WINDOW[1] - ASSUMED_WINDOW[0])
    assert window_for(under) == window
    every = DepositLedger.of_ranges(
        (at, at + 4096) for at in range(32 * MIB, 512 * MIB, 32 * MIB)
    )
    assert window_for(every) is None


TOUCHED = ExtentSet([(0x8000, 0x8001)])


@pytest.mark.parametrize(
    ("encoding", "touched", "said"),
    [
        ("split", ExtentSet(), ""),
        ("split", TOUCHED, "were touched, the model says safe"),
        ("hole", TOUCHED, "were touched, the model says degraded"),
        ("kern-128", TOUCHED, ""),
        ("kern-128", ExtentSet(), "says that they are touched, and they were not"),
        # KASLR throws dice.
        ("overlaid", TOUCHED, ""),
        ("overlaid", ExtentSet(), ""),
    ],
)
def test_a_machine_contradicts_where_the_model_was_certain(encoding, touched, said):
    seen = KernelView(kernel="6.1", engine="machine", touched_deposits=touched)
    assert said in contradiction(cell(encoding), seen)
    assert bool(said) == bool(contradiction(cell(encoding), seen))


def test_a_kernel_that_died_first_does_not_contradict():
    seen = KernelView(
        kernel="6.1", engine="machine", touched_deposits=ExtentSet(), fatal="panic"
    )
    assert contradiction(cell("kern-128"), seen) == ""
    assert contradiction(replace(cell("split"), verdict=None), seen) != ""
