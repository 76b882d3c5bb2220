"""Handoffs around limits, and shapes made small."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from e820pool.deposits import DepositLedger
from e820pool.errors import InputError
from e820pool.handoff.build import build_handoff
from e820pool.kernel import profiles
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import all_behaviours, known_releases, profile_for
from e820pool.memory_map import MemoryMap
from e820pool.stress.confirm import OBSERVABLE, cases_for, limits_named, losses_of
from e820pool.stress.draws import Draws
from e820pool.stress.limit_handoffs import trampoline_handoff
from e820pool.stress.search import draw_shape, extents_of, handoff_of, minimise

RELEASES = ("4.19", "5.10", "6.1", "6.18", "7.3")
# In 4.19 the table is full before memblock's array is; older kernels map fragments
# in another way. Up to 6.16 no freed array is read. Before 5.3 a capture kernel's table
# has no RESERVED ranges.
LIMITED = [
    (name, release)
    for name, limit in OBSERVABLE.items()
    for release in RELEASES
    if limit.behaviour
    and (name, release) not in (("memblock", "4.19"), ("capture-table", "4.19"))
    and (name != "fragments" or release not in ("4.19", "5.10"))
    and (name != "freed-array" or release in ("6.18", "7.3"))
]


@cache
def cases_of(name, release):
    return tuple(cases_for(name, profile_for(release)))


def losses_of_cases(cases, profile):
    return [losses_of(case.handoff, profile, case.limit.loses) for case in cases]


def without(profile, behaviour):
    held = profile.behaviours - {behaviour}
    capacity = profiles._capacity(held, profile.config)
    return replace(profile, behaviours=held, capacity=capacity)


@pytest.mark.parametrize(("name", "release"), LIMITED)
def test_the_model_loses_something_above_a_limit_and_nothing_at_it(name, release):
    cases, profile = cases_of(name, release), profile_for(release)
    assert [case.where for case in cases] == ["below", "at", "above"]
    below, at, above = losses_of_cases(cases, profile)
    assert (below, at) == ((), ())
    assert above


@pytest.mark.parametrize(("name", "release"), LIMITED)
def test_what_is_lost_above_a_limit_is_lost_by_its_behaviour(name, release):
    """The behaviour is data in specs/kernels; a kernel without it loses nothing."""
    profile, (*_, above) = profile_for(release), cases_of(name, release)
    changed = without(profile, above.limit.behaviour)
    assert losses_of_cases([above], profile) != [()]
    assert losses_of_cases([above], changed) == [()]


def test_every_limit_with_a_loss_is_a_behaviour_of_the_data():
    known = {one.id for one in all_behaviours()}
    named = [limit.behaviour for limit in OBSERVABLE.values()]
    assert set(filter(None, named)) <= known
    assert named.count("") == 1


@pytest.mark.parametrize(
    ("release", "most"), [("4.19", 315), ("6.1", 3195), ("6.16", 3199)]
)
def test_a_kernels_table_holds_less_than_its_capacity(release, most):
    _, at, _ = cases_of("table", release)
    assert at.entries == at.count == most


@pytest.mark.parametrize("release", RELEASES)
def test_no_kernel_loses_what_does_not_fit_a_zero_page(release):
    profile = profile_for(release)
    for case, entries in zip(
        cases_for("zero-page", profile), (127, 128, 129), strict=True
    ):
        assert case.entries == len(case.handoff.table) == entries
        assert losses_of(case.handoff, profile) == ()


def test_regions_are_counted_where_the_limit_is_one_of_regions():
    cases = list(cases_for("kaslr-memmap", profile_for("6.1")))
    assert [case.count for case in cases] == [3, 4, 5]
    lines = [case.handoff.cmdline.count(b"memmap=") for case in cases]
    assert lines == [3, 4, 5]


def test_what_a_loader_adds_counts_too():
    """Each place of a kernel or an initrd is a reservation, and so is a table."""
    profile = profile_for("6.1")

    def bind(handoff):
        page = handoff.boot_params
        header = replace(page.hdr, ramdisk_image=0x800_0000, ramdisk_size=1 << 20)
        return replace(handoff, boot_params=replace(page, hdr=header))

    _, plain, _ = cases_for("fragments", profile)
    _, bound, _ = cases_for("fragments", profile, bind)
    assert bound.count == plain.count - 2


@pytest.mark.parametrize("text", ["sky", "table,sky", ""])
def test_a_limit_that_nobody_knows_is_refused(text):
    with pytest.raises(InputError, match=f"not one of: {', '.join(OBSERVABLE)}, all"):
        limits_named(text)


def test_limits_are_named_by_a_comma_list_or_all_at_once():
    assert limits_named("table, memblock") == ("table", "memblock")
    assert limits_named("all") == tuple(OBSERVABLE)


def test_a_kernel_without_a_limit_is_booted_far_above_that_of_others():
    profile = profile_for("5.10")
    (case,) = cases_for("fragments", profile)
    assert (case.where, case.count) == ("no limit", 500)
    assert losses_of_cases([case], profile) == [()]
    assert losses_of_cases([case], profile_for("6.1")) != [()]


def test_shapes_are_within_every_kernels_capacity_and_the_pcs_ram():
    for number in range(150):
        extents = extents_of(draw_shape(Draws(1).fork(number)))
        handoff = handoff_of(extents)
        assert handoff.ledger.extents.nr_pages == sum(b - a for a, b in extents)
        assert len(handoff.table) < 1300


def test_shapes_vary_in_every_way():
    shapes = [draw_shape(Draws(2).fork(number)) for number in range(100)]
    for values in zip(*shapes, strict=True):
        assert len(set(values)) > 10


def one_of(*culprits):
    return lambda extents: not set(culprits) <= set(extents)


ALL = tuple((at, at + 1) for at in range(0, 400, 2))


@pytest.mark.parametrize("culprits", [(ALL[0],), (ALL[199],), (ALL[3], ALL[170])])
def test_what_fails_is_made_as_small_as_its_cause(culprits):
    assert minimise(ALL, one_of(*culprits)) == culprits


def test_a_failure_by_number_is_made_one_below_that_survives():
    found = minimise(ALL, lambda extents: len(extents) < 37, most_tries=2000)
    assert len(found) == 37


def test_a_kernel_is_not_asked_for_ever():
    asked = []

    def survives(extents):
        asked.append(extents)
        return len(extents) < 150

    found = minimise(ALL, survives, most_tries=9)
    assert len(asked) == 9
    assert not survives(found)


def test_a_single_deposit_is_small_enough():
    assert minimise(ALL[:1], lambda _: False) == ALL[:1]


def test_every_size_of_table_is_asked_about():
    last = {profile_for(release).capacity: release for release in known_releases()}
    for release in last.values():
        profile, (_, at, above) = profile_for(release), cases_of("table", release)
        assert at.entries < profile.capacity <= above.entries + 5


@pytest.mark.parametrize(("deposits", "fatal"), [(45, False), (145, True)])
def test_memblocks_array_grows_into_the_place_of_the_trampoline(deposits, fatal):
    """Booted 5.10 and 6.1 do: with 28 KiB of low RAM and more than 128 regions."""
    rows = [(0x1_0000, 0x7000, 1), (1 << 20, 1 << 29, 1), (1 << 32, 1 << 29, 1)]
    first = (1 << 32) + (1 << 20)
    ledger = DepositLedger.of_ranges(
        (first + (at << 16), first + (at << 16) + 4096) for at in range(deposits)
    )
    handoff = build_handoff(MemoryMap.of(rows), ledger)
    view = predict(handoff, profile_for("6.1"))
    assert (view.fatal == "Real mode trampoline was not allocated") is fatal


@pytest.mark.parametrize(
    ("release", "regions", "fatal"),
    [
        ("6.12", 128, False),
        ("6.12", 129, True),
        ("6.16", 126, False),
        ("6.16", 127, True),
        ("7.3", 126, False),
        ("7.3", 127, True),
    ],
)
def test_marking_the_first_mib_needs_two_slots_of_memblocks_array(
    release, regions, fatal
):
    """Found by `stress --confirm trampoline`, and booted on 6.12 to 7.3."""
    view = predict(trampoline_handoff(2 * regions), profile_for(release))
    assert len(view.memory) == regions
    assert (view.fatal == "Real mode trampoline was not allocated") is fatal


def test_marking_the_first_mib_without_room_loses_nothing():
    rows = [(0x1_0000, 0x1000, 1), (1 << 20, 1 << 29, 1), (1 << 32, 1 << 29, 1)]
    first = (1 << 32) + (1 << 20)
    ledger = DepositLedger.of_ranges(
        (first + (at << 16), first + (at << 16) + 4096) for at in range(124)
    )
    handoff = build_handoff(MemoryMap.of(rows), ledger)
    view = predict(handoff, profile_for("7.3"))
    assert len(view.memory) == 127
    assert "memblock-full" not in view.warnings


def test_the_specification_has_every_limit_with_its_behaviour_and_a_command():
    text = (Path(__file__).parents[2] / "specs" / "exhaustion.md").read_text()
    section = text.split("\n## Limits that boots have shown")[1].split("\n## ")[0]
    for name, limit in OBSERVABLE.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*)$", section, re.MULTILINE)
        assert f"`{limit.behaviour}`" in row or (limit.behaviour, row[:3]) == (
            "",
            " - ",
        )
        assert re.search(rf"stress --confirm {name} +--kernel ", section)
