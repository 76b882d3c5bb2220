"""What guests do over days, as deposit calls: create, add devices, grow, destroy."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from e820pool.errors import InputError
from e820pool.extents import PAGE_SIZE
from e820pool.stress.buddy import MAX_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.stress.draws import Draws

__all__ = (
    "DRIVERS",
    "HV_DEPOSIT_MAX",
    "PAGES_BEFORE_VP",
    "Driver",
    "Event",
    "EventKind",
    "Workload",
    "calls_of",
    "events",
    "guest_blocks",
    "split_calls",
)

# The sizes in which the hypervisor's driver deposits: hv_call_deposit_pages() and
# hv_call_create_vp(), arch/x86/hyperv/hv_proc.c, 6.1.

#: A hypercall's input is one page of u64s, of which the first is the partition id.
HV_DEPOSIT_MAX = PAGE_SIZE // 8 - 1

PAGES_BEFORE_VP = 90
"""Deposited to a child partition before a virtual processor is made (6.1)."""

EventKind = Literal["create", "device", "grow", "trim", "destroy"]
"""What happens to a guest."""

# A second-level page table has 512 entries of 4 KiB each; a guest's RAM is mapped by
# pages, which is what nested paging needs at worst.
_PAGES_PER_TABLE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """The sizes of a driver's calls, in pages.

    Attributes:
        ahead_of_partition: deposited before a partition is initialised.
        mapping: of each call that follows a mapping short of memory; 0: as many
            as are needed, by calls of the most that one takes.
    """

    ahead_of_partition: int
    mapping: int


DRIVERS = {
    # arch/x86/hyperv/hv_proc.c: pages for partitions and mappings come from a user of
    # hv_call_deposit_pages() outside the tree, by calls of any size.
    "6.1": Driver(ahead_of_partition=0, mapping=0),
    # drivers/hv/mshv_root_hv_call.c: HV_INIT_PARTITION_DEPOSIT_PAGES in
    # hv_call_initialize_partition(), HV_MAP_GPA_DEPOSIT_PAGES in hv_do_map_gpa_hcall().
    "7.3": Driver(ahead_of_partition=208, mapping=256),
}
"""Drivers by release. Both deposit 90 pages ahead of a processor and single pages on a
retry (hv_call_create_vp(), hv_deposit_memory_node()); how often 7.3 is asked for 8
contiguous ones is the hypervisor's, and not modelled. Both take back at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The guests of a host, and what they do.

    How many calls a guest makes is an assumption where the driver does not fix it;
    every one of them is a field.

    Attributes:
        guests: that live at one time, once the first of them are all created.
        days: for how long.
        guest_ram_share: of the host's RAM, for all guests together; of what is free
            where that is known, as the rest is in use already.
        vps: virtual processors a guest; 90 pages are deposited ahead of each.
        lifetime_days: mean, exponential; a guest destroyed is replaced at once. 0:
            guests stay.
        devices_per_day: added to a guest, each some single pages.
        grows_per_day: calls for as many pages as one call takes, a guest.
        trims_per_day: withdrawals of as many single pages as one call returns, in
            the hypervisor's order, a guest. 6.1 withdraws only at the end.
        retries: mean of the calls for a single page with which a hypercall that is
            short of memory is repeated.
        max_calls: stop after so many deposit calls.
        ramp_days: over how many days the first guests are created.
        driver: a key of :data:`DRIVERS`.
    """

    guests: int = 100
    days: float = 7.0
    guest_ram_share: float = 0.7
    vps: int = 4
    lifetime_days: float = 3.0
    devices_per_day: float = 1.0
    grows_per_day: float = 0.5
    trims_per_day: float = 0.0
    retries: float = 2.0
    max_calls: int = 1_000_000
    ramp_days: float = 1.0
    driver: str = "6.1"

    def __post_init__(self) -> None:
        if self.driver not in DRIVERS:
            raise InputError(
                f"workload: driver {self.driver[:20]!r} is not one of: "
                f"{', '.join(DRIVERS)}"
            )
        for name, low, high in (
            ("guests", 1, 1 << 20),
            ("days", 0, 1 << 16),
            ("guest_ram_share", 0, 1),
            ("vps", 0, 1 << 11),
            ("lifetime_days", 0, 1 << 16),
            ("devices_per_day", 0, 1 << 16),
            ("grows_per_day", 0, 1 << 16),
            ("trims_per_day", 0, 1 << 16),
            ("retries", 0, 1 << 10),
            ("max_calls", 1, 1 << 40),
            ("ramp_days", 0, 1 << 16),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(
                    f"workload: {name} is {value}: the limits are {low} and {high}"
                )


class Event(NamedTuple):
    """One thing that a guest does, and when, in days."""

    day: float
    kind: EventKind
    guest: int


def events(workload: Workload, draws: Draws) -> Iterator[Event]:
    """Yield what happens, in order of time, until the days are over."""
    pending: list[tuple[float, int, EventKind, int]] = []
    sequence = 0

    def schedule(day: float, kind: EventKind, guest: int) -> None:
        nonlocal sequence
        sequence += 1
        heapq.heappush(pending, (day, sequence, kind, guest))

    for guest in range(workload.guests):
        schedule(draws.unit() * workload.ramp_days, "create", guest)
    created = workload.guests
    ends: dict[int, float] = {}
    rates = _rates(workload)
    while pending and pending[0][0] < workload.days:
        day, _, kind, guest = heapq.heappop(pending)
        if kind not in ("create", "destroy") and day >= ends.get(guest, 0.0):
            continue
        yield Event(day, kind, guest)
        if kind == "destroy":
            del ends[guest]
            schedule(day, "create", created)
            created += 1
        elif kind == "create":
            ends[guest] = workload.days
            if workload.lifetime_days:
                ends[guest] = day + draws.exponential(workload.lifetime_days)
                schedule(ends[guest], "destroy", guest)
            for other, rate in rates.items():
                schedule(day + draws.exponential(1 / rate), other, guest)
        else:
            schedule(day + draws.exponential(1 / rates[kind]), kind, guest)


def calls_of(
    workload: Workload, kind: EventKind, ram_pages: int, draws: Draws
) -> Iterator[int]:
    """Yield the pages of each deposit call that an event makes.

    Args:
        workload: whose guest it is.
        kind: of the event; ``destroy`` and ``trim`` deposit nothing.
        ram_pages: the guest's memory.
        draws: decides how often a hypercall is repeated.
    """
    driver = DRIVERS[workload.driver]
    if kind == "create":
        # The partition itself: HVCALL_CREATE_PARTITION, one page on each retry.
        yield from (1 for _ in range(1 + draws.geometric(workload.retries)))
        if driver.ahead_of_partition:
            yield driver.ahead_of_partition
        for _ in range(workload.vps):
            yield PAGES_BEFORE_VP
            yield from (1 for _ in range(draws.geometric(workload.retries)))
        tables = -(-ram_pages // _PAGES_PER_TABLE)
        if driver.mapping:
            yield from (driver.mapping for _ in range(-(-tables // driver.mapping)))
        else:
            yield from split_calls(tables)
    elif kind == "device":
        yield from (1 for _ in range(1 + draws.geometric(workload.retries)))
    elif kind == "grow":
        yield driver.mapping or HV_DEPOSIT_MAX


def split_calls(nr_pages: int) -> Iterator[int]:
    """Yield how many pages each call deposits: the maximum, then what remains."""
    while nr_pages > 0:
        yield min(nr_pages, HV_DEPOSIT_MAX)
        nr_pages -= HV_DEPOSIT_MAX


def guest_blocks(workload: Workload, host_pages: int, draws: Draws) -> int:
    """Return a new guest's memory in blocks of the highest order: half to 1.5 mean."""
    mean = workload.guest_ram_share * host_pages / workload.guests
    return max(int(mean * (0.5 + draws.unit())) >> MAX_ORDER, 1)


def _rates(workload: Workload) -> dict[EventKind, float]:
    rates: dict[EventKind, float] = {
        "device": workload.devices_per_day,
        "grow": workload.grows_per_day,
        "trim": workload.trims_per_day,
    }
    return {kind: rate for kind, rate in rates.items() if rate}
