"""Judged together, kernels get the verdicts that each of them gets alone."""

from hypothesis import given
from hypothesis import strategies as st

from e820pool.compat import check_input, judge_each
from e820pool.compat.shared import SharedChecks
from e820pool.kernel.boot_input import boot_input
from e820pool.kernel.profiles import known_releases, profile_for
from e820pool.strategies import handoffs

PROFILES = [profile_for(release) for release in known_releases()]
PROFILES += [
    profile_for("6.1", {"RANDOMIZE_BASE": False}),
    profile_for("7.3", {"NODES_SHIFT": 1, "KEXEC_HANDOVER": True}),
    profile_for("5.10", {"NUMA": False}),
    profile_for("6.12", {"EFI": False}),
]


@given(handoff=handoffs(), order=st.permutations(PROFILES))
def test_what_kernels_share_is_what_each_makes_of_it_itself(handoff, order):
    reads = boot_input(handoff)
    deposits = handoff.ledger.extents
    checks = SharedChecks(deposits, reads)
    for profile in order:
        assert checks.verdict(profile) == check_input(deposits, reads, profile)


@given(handoff=handoffs(), order=st.permutations(PROFILES))
def test_the_order_of_the_kernels_changes_no_verdict(handoff, order):
    alone = {
        id(profile): verdict
        for profile in PROFILES
        for verdict in judge_each(handoff, [profile])
    }
    for profile, verdict in zip(order, judge_each(handoff, order), strict=True):
        assert verdict == alone[id(profile)]
