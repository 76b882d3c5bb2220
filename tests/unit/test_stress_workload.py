"""Workloads: what guests do, when, and in how many calls."""

from collections import Counter

import pytest

from e820pool.errors import InputError
from e820pool.stress.draws import Draws
from e820pool.stress.workload import Workload, calls_of, events, guest_blocks

QUIET = Workload(guests=3, days=2, retries=0, devices_per_day=0, grows_per_day=0)


def listed(workload, seed=1):
    return list(events(workload, Draws(seed)))


def test_a_seed_decides_what_happens():
    workload = Workload(guests=9)
    assert listed(workload) == listed(workload)
    assert listed(workload) != listed(workload, 2)


def test_events_come_in_order_until_the_days_are_over():
    days = [event.day for event in listed(Workload(guests=20, days=5))]
    assert days == sorted(days)
    assert 4 < days[-1] < 5


def test_a_guest_destroyed_is_replaced_at_once():
    found = listed(Workload(guests=5, days=20, lifetime_days=1))
    alive = set()
    for event in found:
        if event.kind == "create":
            alive.add(event.guest)
        elif event.kind == "destroy":
            alive.remove(event.guest)
        else:
            assert event.guest in alive
    kinds = Counter(event.kind for event in found)
    assert kinds["create"] - kinds["destroy"] in (4, 5)
    assert kinds["destroy"] > 50


def test_guests_without_a_lifetime_stay():
    kinds = Counter(event.kind for event in listed(Workload(guests=4, lifetime_days=0)))
    assert kinds["create"] == 4
    assert kinds["destroy"] == 0


@pytest.mark.parametrize("kind", ["device", "grow", "trim"])
def test_rates_are_per_guest_and_day(kind):
    rates = {f"{one}s_per_day": 0.0 for one in ("device", "grow", "trim")}
    rates[f"{kind}s_per_day"] = 3.0
    workload = Workload(guests=50, days=10, lifetime_days=0, ramp_days=0, **rates)
    kinds = Counter(event.kind for event in listed(workload))
    assert abs(kinds[kind] / (50 * 10) - 3) < 0.3
    assert set(kinds) == {"create", kind}


def calls(kind, workload=QUIET, ram_pages=0):
    return list(calls_of(workload, kind, ram_pages, Draws(1)))


def test_ninety_pages_go_before_every_virtual_processor():
    assert calls("create") == [1, 90, 90, 90, 90]


def test_page_tables_are_deposited_in_the_largest_calls():
    # 4 GiB of guest memory is 2048 tables of the second level.
    assert calls("create", ram_pages=1 << 20)[5:] == [511, 511, 511, 511, 4]


def test_a_hypercall_short_of_memory_gets_a_page_on_each_retry():
    told = calls("create", Workload(retries=5))
    assert set(told) == {1, 90}
    assert told.count(1) > 10


def test_growing_is_one_full_call_and_leaving_is_none():
    assert calls("grow") == [511]
    assert calls("device") == [1]
    assert calls("destroy") == calls("trim") == []


def test_a_guests_memory_is_its_share_of_the_host():
    workload = Workload(guests=10, guest_ram_share=0.5)
    draws = Draws(1)
    blocks = [guest_blocks(workload, 1 << 24, draws) for _ in range(500)]
    mean = (1 << 24) * 0.5 / 10 / 1024
    assert abs(sum(blocks) / 500 / mean - 1) < 0.05
    assert min(blocks) >= 0.5 * mean - 1
    assert max(blocks) <= 1.5 * mean


@pytest.mark.parametrize(
    ("field", "value"),
    [("guests", 0), ("days", -1), ("guest_ram_share", 1.1), ("max_calls", 0)],
)
def test_a_workload_that_cannot_be_is_refused(field, value):
    with pytest.raises(InputError, match=f"workload: {field} is {value}: the limits"):
        Workload(**{field: value})


def test_the_driver_of_7_3_deposits_ahead_and_by_256_pages():
    # 1.6 GiB: 800 page tables of the hypervisor.
    told = calls("create", Workload(retries=0, vps=2, driver="7.3"), 800 * 512)
    assert told == [1, 208, 90, 90, 256, 256, 256, 256]
    assert calls("create", Workload(retries=0, vps=2), 800 * 512) == [
        1,
        90,
        90,
        511,
        289,
    ]
    assert calls("grow", Workload(driver="7.3")) == [256]


def test_a_driver_that_is_not_known_is_refused():
    with pytest.raises(InputError, match=r"'5\.0' is not one of: 6\.1, 7\.3"):
        Workload(driver="5.0")
