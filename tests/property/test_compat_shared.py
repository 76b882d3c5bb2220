"""Judged together, kernels get the verdicts that each of them gets alone."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from e820pool.abi.e820 import table_of
from e820pool.compat import check_input, judge_each, shared
from e820pool.compat.shared import SharedChecks
from e820pool.deposits import DepositLedger
from e820pool.extents import ExtentSet, Span
from e820pool.handoff.build import build_handoff
from e820pool.kernel import early_boot
from e820pool.kernel.boot_input import BootInput, SetupDataSpan, boot_input
from e820pool.kernel.profiles import assuming, known_releases, profile_for
from e820pool.memory_map import MemoryMap
from e820pool.strategies import handoffs

PROFILES = [profile_for(release) for release in known_releases()]
PROFILES += [
    profile_for("6.1", {"RANDOMIZE_BASE": False}),
    profile_for("7.3", {"NODES_SHIFT": 1, "KEXEC_HANDOVER": True}),
    profile_for("5.10", {"NUMA": False}),
    profile_for("6.12", {"EFI": False}),
]


@settings(max_examples=50)
@given(handoff=handoffs(), order=st.permutations(PROFILES))
def test_what_kernels_share_is_what_each_makes_of_it_itself(handoff, order):
    reads = boot_input(handoff)
    deposits = handoff.ledger.extents
    checks = SharedChecks(deposits, reads)
    for profile in order:
        assert checks.verdict(profile) == check_input(deposits, reads, profile)


OPTIONS = {
    "NODES_SHIFT": [0, 6, 10],
    "NUMA": [False, True],
    "EFI": [False, True],
    "MEMORY_HOTPLUG": [False, True],
    "ARCH_KEEP_MEMBLOCK": [False, True],
    "INIT_ON_FREE_DEFAULT_ON": [False, True],
    "DEFERRED_STRUCT_PAGE_INIT": [False, True],
    "RANDOMIZE_BASE": [False, True],
    "KEXEC_HANDOVER": [False, True],
    "FIRMWARE_MEMMAP": [False, True],
    "ACPI_HOTPLUG_MEMORY": [False, True],
    "CMDLINE": ["mem=64M"],
}


@settings(max_examples=50)
@given(handoff=handoffs(), order=st.permutations(PROFILES))
def test_a_kernel_with_another_option_is_judged_as_if_it_were_alone(handoff, order):
    reads = boot_input(handoff)
    deposits = handoff.ledger.extents
    checks = SharedChecks(deposits, reads)
    for profile in order[:5]:
        checks.verdict(profile)
        for option, values in OPTIONS.items():
            for value in values:
                other = assuming(profile, option, value)
                made = checks.verdict(other, like=profile)
                assert made == check_input(deposits, reads, other), (option, value)


# Each example judges with all kernels twice.
@settings(max_examples=20)
@given(handoff=handoffs(), order=st.permutations(PROFILES))
def test_the_order_of_the_kernels_changes_no_verdict(handoff, order):
    alone = {
        id(profile): verdict
        for profile in PROFILES
        for verdict in judge_each(handoff, [profile])
    }
    for profile, verdict in zip(order, judge_each(handoff, order), strict=True):
        assert verdict == alone[id(profile)]


def test_a_kernel_that_clears_an_address_shares_no_boot_with_one_that_does_not():
    """An initrd above 4 GiB, and a sentinel: its address is lost, or it is not.

    Where it is lost the initrd is in no RAM, and a node leaves no place for it.
    """
    high = Span.at((4 << 30) + (100 << 20), 400 << 20)
    table = [(0, 0x9F000, 1), (1 << 20, 63 << 20, 1), (high.start, high.size, 1)]
    node = SetupDataSpan(addr=high.start + (200 << 20), size=0x100, type=9)
    reads = BootInput(
        table=table_of(table),
        sentinel=1,
        initrd=high,
        setup_data=(node,),
        load_window=Span(16 << 20, 48 << 20),
    )
    clears = profile_for("6.1", {"RANDOMIZE_BASE": False})
    keeps = replace(clears, behaviours=clears.behaviours - {"sentinel-keeps-list"})
    deposits = ExtentSet([(0x8000, 0x8010)])
    ends = [check_input(deposits, reads, one).view.fatal for one in (clears, keeps)]
    assert ends == ["Cannot find place for new RAMDISK", None]
    for order in ([clears, keeps], [keeps, clears]):
        checks = SharedChecks(deposits, reads)
        for profile in order:
            view = checks.verdict(profile).view
            assert view == check_input(deposits, reads, profile).view


def test_most_steps_of_many_kernels_are_taken_once(monkeypatch):
    taken = []
    plain = early_boot.run_early_boot

    def counted(boot):
        taken.append(boot.profile)
        return plain(boot)

    monkeypatch.setattr(early_boot, "run_early_boot", counted)
    machine = MemoryMap.of([(0, 0x9F000, 1), (1 << 20, 2047 << 20, 1)])
    handoff = build_handoff(machine, DepositLedger.of_ranges(["1G+2M", "1100M+2M"]))
    profiles = [profile_for(release) for release in known_releases()]
    assert len(list(judge_each(handoff, profiles))) == len(profiles)
    assert 2 < len(taken) <= len(profiles) / 2


def test_most_findings_of_many_kernels_are_worked_out_once(monkeypatch):
    """Counted, since time on a busy machine says little."""
    ran = []

    def counting(group):
        def counted(case):
            ran.append(group)
            return group(case)

        return counted

    monkeypatch.setattr(shared, "GROUPS", tuple(map(counting, shared.GROUPS)))
    machine = MemoryMap.of([(0, 0x9F000, 1), (1 << 20, 2047 << 20, 1)])
    ranges = [f"{1024 + 4 * at}M+2M" for at in range(60)]
    handoff = build_handoff(machine, DepositLedger.of_ranges(ranges))
    profiles = [profile_for(release) for release in known_releases()]
    assert len(list(judge_each(handoff, profiles))) == len(profiles)
    together = len(ran)
    ran.clear()
    for profile in profiles:
        list(judge_each(handoff, [profile]))
    assert together < len(ran) / 4
