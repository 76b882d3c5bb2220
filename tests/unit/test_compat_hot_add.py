"""A deposit that a kernel would add to its memory after boot is told of beforehand."""

from dataclasses import replace

import pytest

from e820pool.compat.judge import judge
from e820pool.deposits import DepositLedger, parse_range
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.kernel.profiles import profile_for
from e820pool.memory_devices import MemoryDevices
from e820pool.memory_map import MemoryMap

MIB, GIB = 1 << 20, 1 << 30
ROWS = [(0, 0x9F000, 1), (MIB, 511 * MIB, 1), (4 * GIB, GIB, 1)]
WHOLE = MemoryDevices(devices=((4 * GIB, 5 * GIB),))
HALF = MemoryDevices(devices=((4 * GIB, 4 * GIB + 512 * MIB),))
REGION = MemoryDevices(regions=((4 * GIB, 8 * GIB),))
ELSEWHERE = MemoryDevices(devices=((5 * GIB, 6 * GIB),))


def findings(deposit, devices, release="6.12", *, config=None, rows=ROWS, **options):
    machine = replace(MemoryMap.of(rows), devices=devices)
    ledger = DepositLedger.of_ranges([parse_range(deposit)])
    options = BuildOptions(**{"encoding": "split"} | options)
    verdict = judge(
        build_handoff(machine, ledger, options), profile_for(release, config)
    )
    return [one for one in verdict.findings if one.id == "memory-hot-add"]


def level(*args, **more):
    return next((one.level for one in findings(*args, **more)), None)


@pytest.mark.parametrize(
    ("deposit", "devices", "expected"),
    [
        ("4G+1G", WHOLE, "unsafe"),
        ("4G+1G", HALF, "unsafe"),
        ("4G+512M", HALF, "unsafe"),
        ("4G+1G", REGION, "unsafe"),
        ("4G+128M", REGION, "unsafe"),
        ("4G+1G", None, "degraded"),
        ("4G+128M", None, "degraded"),
        # RAM of the table lies in the device, or the deposit holds no whole block.
        ("4G+512M", WHOLE, None),
        ("0x100001000+0x7fff000", REGION, None),
        ("0x100001000+0x7fff000", None, None),
        ("4G+1G", ELSEWHERE, None),
        ("4G+1G", MemoryDevices(), None),
        # No kernel adds what is not whole blocks.
        ("4G+1G", MemoryDevices(devices=((4 * GIB, 4 * GIB + MIB),)), None),
    ],
)
def test_what_is_known_of_devices_decides(deposit, devices, expected):
    assert level(deposit, devices) == expected


@pytest.mark.parametrize("devices", [WHOLE, REGION, None])
def test_the_canonical_encoding_and_type_5_are_out_of_danger(devices):
    assert level("4G+1G", devices, encoding="guarded") is None
    assert level("4G+1G", devices, encoding="unusable") is None


def test_reserved_was_in_the_way_while_the_driver_came_after_it():
    assert level("4G+1G", WHOLE, "2.6.32") is None
    for release in ("3.9", "3.8"):
        assert level("4G+1G", WHOLE, release) is None
    for release in ("3.10", "4.4", "4.19", "5.4"):
        assert level("4G+1G", WHOLE, release) == "unsafe"


def test_reserved_and_a_gap_are_in_the_way_of_a_device_no_more_than_each_alone():
    """As booted: what is RESERVED is no resource yet when devices are added."""
    rows = [*ROWS[:2], (4 * GIB, 512 * MIB, 1)]
    assert level("4G+512M", WHOLE, rows=rows) == "unsafe"
    assert level("4G+512M", WHOLE, rows=rows, encoding="guarded") is None


def test_the_word_that_turns_it_off_is_known_from_3_14_on():
    assert not profile_for("3.10").has("acpi-no-memhotplug")
    assert profile_for("4.4").has("acpi-no-memhotplug")
    for release, expected in (("3.10", "unsafe"), ("4.4", None)):
        options = {"cmdline": "acpi_no_memhotplug"}
        assert level("4G+1G", WHOLE, release, **options) == expected


def test_it_is_this_behaviour_that_decides():
    profile = profile_for("6.12")
    held = profile.behaviours - {"hot-add-into-reserved"}
    machine = replace(MemoryMap.of(ROWS), devices=WHOLE)
    ledger = DepositLedger.of_ranges([parse_range("4G+1G")])
    handoff = build_handoff(machine, ledger, BuildOptions(encoding="split"))
    assert "memory-hot-add" in {f.id for f in judge(handoff, profile).findings}
    without = judge(handoff, replace(profile, behaviours=held))
    assert "memory-hot-add" not in {f.id for f in without.findings}


def test_a_gap_never_was():
    for release in ("2.6.32", "4.19", "7.3"):
        assert level("4G+1G", WHOLE, release, encoding="hole") == "unsafe"
    assert level("4G+1G", WHOLE, encoding="hybrid") == "unsafe"


def test_a_kernel_that_adds_no_devices_leaves_them_alone():
    config = {"ACPI_HOTPLUG_MEMORY": False}
    assert level("4G+1G", WHOLE, config=config) is None
    assert level("4G+1G", WHOLE, cmdline="quiet acpi_no_memhotplug") is None


def test_the_extents_are_those_in_the_device():
    (found,) = findings("4G+1G", HALF)
    assert found.extents == ((4 * GIB >> 12, (4 * GIB + 512 * MIB) >> 12),)
    assert "register_memory_resource()" in found.source
