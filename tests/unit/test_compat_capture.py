"""A capture kernel's table, as check foresees it: each with a pass and a fail."""

import pytest
from compat_cases import CARVED, M, found, levels, verdict

from e820pool.compat.capture_kernel import (
    findings_of_dump,
    findings_of_handed_over,
    of_capture_kernel,
)
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.loading.kexec_loaders import HandedOver

LINE = "crashkernel=256M"


def given(reserved, **rest):
    """Return a handoff of so many RESERVED entries, deposits among them."""
    rows = [*CARVED[:2], (M, 31 * M, 1)]
    low = sum(kind == 2 for _, _, kind in rows)
    deposits = []
    for at in range(reserved - low):
        start = (32 + at * 2) * M
        rows += [(start, M, 2), (start + M, M, 1)]
        deposits.append((start, M))
    whole = {"release": "6.1", "cmdline": LINE, **rest}
    return {
        "rows": rows[:128],
        "ext": (rows[128:],),
        "deposits": tuple(deposits),
    } | whole


# Page 0 is RESERVED in every kernel's table, and RAM below 1 MiB is one entry.
MOST = 127 - 1 - 1


@pytest.mark.parametrize("release", ["5.4", "5.10", "6.1", "6.12", "7.3"])
def test_with_128_entries_before_its_ram_a_capture_kernel_has_none(release):
    assert levels("capture-table-full", **given(MOST, release=release)) == []
    (one,) = found("capture-table-full", **given(MOST + 1, release=release))
    assert one.level == "degraded"
    assert "128 entries come before it, and 128 fit" in one.message
    assert verdict(**given(MOST + 1, release=release)).verdict == "degraded"


@pytest.mark.parametrize("release", ["4.4", "4.19", "5.2"])
def test_before_5_3_reserved_ranges_are_not_in_that_table(release):
    case = given(MOST + 20, release=release, config={"NODES_SHIFT": 10})
    assert levels("capture-table-full", **case) == []


def test_who_keeps_no_memory_for_a_capture_kernel_is_told_nothing():
    for line in ("", "quiet", "nocrashkernel=1"):
        assert levels("capture-table-full", **given(MOST + 20, cmdline=line)) == []


def test_a_capture_kernel_is_told_nothing_of_the_kexec_after_it():
    """It starts no other kernel: a dump ends in a reset."""
    judged = verdict(**given(MOST + 1))
    later = {"lost-on-next-kexec", "capture-table-full"}
    assert later <= {one.id for one in judged.findings}
    kept = {one.id for one in of_capture_kernel(judged.findings)}
    assert later & kept == {"capture-table-full"}


def test_memory_above_4_gib_takes_one_entry_more():
    line = "crashkernel=1G,high"
    assert levels("capture-table-full", **given(MOST - 1, cmdline=line)) == []
    assert levels("capture-table-full", **given(MOST, cmdline=line)) == ["degraded"]


def test_reserved_ranges_that_kexec_tools_leave_out_are_a_note():
    assert not list(findings_of_handed_over(HandedOver(table=((0, M, 1),))))
    (one,) = findings_of_handed_over(HandedOver(table=(), lost=((M, M, 2),)))
    assert (one.id, one.level) == ("capture-table-cut", "note")


def test_deposits_in_a_dump_are_unsafe():
    deposits = ExtentSet([(0x100, 0x102), (0x500, 0x501)])
    (one,) = findings_of_dump(deposits, ByteRangeSet([(0x10_1800, 0x20_0000)]))
    assert (one.level, one.extents) == ("unsafe", ((0x101, 0x102),))
    assert not list(findings_of_dump(deposits, ByteRangeSet([(0, 0x10_0000)])))
