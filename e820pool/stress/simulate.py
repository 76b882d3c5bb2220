"""Run a workload on a host under one policy."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.errors import CapacityError, InputError
from e820pool.stress.buddy import MAX_ORDER
from e820pool.stress.draws import Draws
from e820pool.stress.entries import EntryCount
from e820pool.stress.host import HostPages, zones_of
from e820pool.stress.limits import Sample, SimulationOutcome
from e820pool.stress.policies import PageSource, Policy, deposit_extents, parse_policy
from e820pool.stress.watch import LimitWatch
from e820pool.stress.workload import (
    HV_DEPOSIT_MAX,
    Event,
    Workload,
    calls_of,
    events,
    guest_blocks,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from e820pool.memory_map import MemoryMap
    from e820pool.range_lists import StartEnd
    from e820pool.sources.buddyinfo import ZoneFree

__all__ = ("COUNTED_ENCODINGS", "simulate")

COUNTED_ENCODINGS = ("split", "hybrid")
"""The encodings whose entries are counted as deposits come and go."""

# Samples are taken at calls that grow by this factor.
_GROWTH = 1.05
_HOST, _EVENTS, _GUESTS = range(3)


def simulate(
    memory_map: MemoryMap,
    workload: Workload,
    policy: str,
    *,
    seed: int = 0,
    nr_nodes: int = 1,
    wear: str = "used",
    info: Sequence[ZoneFree] = (),
    encoding: str = "split",
    progress: Callable[[float], None] | None = None,
) -> SimulationOutcome:
    """Return what the policy makes of the workload on this host.

    The same arguments give the same outcome. Cost grows with calls, whatever the
    size of the host; memory with the extents that are deposited at one time.

    Args:
        memory_map: the firmware's own.
        workload: what guests do; the same for every policy of a seed.
        policy: see :func:`e820pool.stress.policies.parse_policy`.
        seed: decides all draws.
        nr_nodes: NUMA nodes, equal shares of RAM.
        wear: how worn the host is, where ``info`` does not say.
        info: what is free, from a real host.
        encoding: whose entries are held against the limits.
        progress: called with the share of the days that is over.

    Raises:
        InputError: the policy or the encoding is none, or ``info`` names more free
            pages than the host has.
    """
    _validate_encoding(encoding)
    chosen, draws = parse_policy(policy), Draws(seed)
    zones, count = zones_of(memory_map, nr_nodes), EntryCount(memory_map)
    host = HostPages(zones, chosen.make_buddy)
    host.fill(zones, wear, info, draws.fork(_HOST))
    try:
        source = chosen.make_source(host, count)
    except CapacityError as exc:
        return SimulationOutcome(
            policy=policy, seed=seed, encoding=encoding, reason=str(exc)
        )
    watch = LimitWatch(memory_map, count, encoding)
    run = _Run(
        workload=workload,
        policy=chosen,
        host=host,
        source=source,
        watch=watch,
        count=count,
        host_pages=host.nr_free if info else memory_map.ram_pages().nr_pages,
    )
    for at, event in enumerate(events(workload, draws.fork(_EVENTS))):
        run.handle(event, draws.fork(_GUESTS + at))
        if progress is not None:
            progress(event.day / workload.days)
        if run.calls >= workload.max_calls:
            break
    return run.outcome(seed, encoding)


def _validate_encoding(encoding: str) -> None:
    if encoding not in COUNTED_ENCODINGS:
        raise InputError(
            f"encoding {encoding[:40]!r} is not one of: {', '.join(COUNTED_ENCODINGS)}"
        )


@dataclass(slots=True)
class _Guest:
    node: int
    ram: list[StartEnd]
    ram_pages: int
    # Starts and ends in turn, as 10^6 calls make 10^6 extents and more.
    extents: array[int] = field(default_factory=lambda: array("Q"))

    def shuffled(self, draws: Draws) -> Iterator[StartEnd]:
        # In an order of the hypervisor's; what was yielded is gone.
        while self.extents:
            yield self.pop(draws.below(len(self.extents) // 2))

    def pop(self, at: int) -> StartEnd:
        extents = self.extents
        extent = extents[2 * at], extents[2 * at + 1]
        extents[2 * at + 1], extents[2 * at] = extents[-1], extents[-2]
        del extents[-2:]
        return extent


@dataclass(slots=True, kw_only=True)
class _Run:
    workload: Workload
    policy: Policy
    host: HostPages
    source: PageSource
    watch: LimitWatch
    count: EntryCount
    host_pages: int
    calls: int = 0
    created: int = 0
    deposited_pages: int = 0
    failed_calls: int = 0
    failed_guests: int = 0
    day: float = 0.0
    guests: dict[int, _Guest] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    peak: Sample | None = None
    peak_entries: int = 0
    peak_regions: int = 0
    next_sample: int = 1

    def handle(self, event: Event, draws: Draws) -> None:
        self.day = event.day
        if event.kind == "create":
            self._create(event.guest, draws)
        guest = self.guests.get(event.guest)
        if guest is None:
            return
        if event.kind == "destroy":
            self._destroy(event.guest, draws)
        elif event.kind == "trim":
            self._trim(guest, draws)
        else:
            for nr_pages in calls_of(self.workload, event.kind, guest.ram_pages, draws):
                if self.calls >= self.workload.max_calls:
                    break
                if not self._deposit(guest, nr_pages, draws):
                    break

    def outcome(self, seed: int, encoding: str) -> SimulationOutcome:
        last = self._sample()
        self.watch.look_closely(last)
        if not self.samples or self.samples[-1] != last:
            self.samples.append(last)
        return SimulationOutcome(
            policy=self.policy.name,
            seed=seed,
            encoding=encoding,
            samples=tuple(self.samples),
            falls=tuple(self.watch.falls),
            peak=self.peak or last,
            failed_calls=self.failed_calls,
            failed_guests=self.failed_guests,
            reserved=self.count.extents(),
        )

    def _create(self, number: int, draws: Draws) -> None:
        node = number % self.host.nr_nodes
        blocks = guest_blocks(self.workload, self.host_pages, draws)
        ram = self.host.take_run(blocks, node)
        if not ram:
            self.failed_guests += 1
            return
        self.created += 1
        self.guests[number] = _Guest(node, ram, blocks << MAX_ORDER)

    def _destroy(self, number: int, draws: Draws) -> None:
        guest = self.guests.pop(number)
        for start, end in guest.shuffled(draws):
            self.source.withdrawn(start, end)
            self.deposited_pages -= end - start
        for start, end in guest.ram:
            self.host.free(start, end)
        self._after_change()

    def _trim(self, guest: _Guest, draws: Draws) -> None:
        # One call returns as many pages as it can name, from anywhere.
        for _ in range(min(HV_DEPOSIT_MAX, len(guest.extents) // 2)):
            start, end = guest.pop(draws.below(len(guest.extents) // 2))
            pfn = start + draws.below(end - start)
            self.source.withdrawn_page(start, end, pfn)
            for first, last in ((start, pfn), (pfn + 1, end)):
                if first < last:
                    guest.extents.extend((first, last))
            self.deposited_pages -= 1
            self._after_change()

    def _deposit(self, guest: _Guest, nr_pages: int, draws: Draws) -> bool:
        node = guest.node
        if not self.policy.is_local:
            node = draws.below(self.host.nr_nodes)
        extents = deposit_extents(self.source, nr_pages, node)
        self.calls += 1
        if extents is None:
            self.failed_calls += 1
            return False
        for pair in extents:
            guest.extents.extend(pair)
        self.deposited_pages += nr_pages
        self._after_change()
        return True

    def _after_change(self) -> None:
        entries, regions = self.watch.entries, self.count.nr_runs
        if entries > self.peak_entries or regions > self.peak_regions:
            sample = self._sample()
            if entries > self.peak_entries:
                self.peak_entries, self.peak = entries, sample
            self.peak_regions = max(self.peak_regions, regions)
            self.watch.look(sample)
        if self.calls >= self.next_sample:
            sample = self._sample()
            self.samples.append(sample)
            self.watch.look_closely(sample)
            step = max(int(self.calls * (_GROWTH - 1)), 1)
            self.next_sample = self.calls + step

    def _sample(self) -> Sample:
        count = self.count
        return Sample(
            call=self.calls,
            day=self.day,
            guests=len(self.guests),
            created=self.created,
            deposited_pages=self.deposited_pages,
            reserved_pages=count.nr_pages,
            regions=count.nr_runs,
            split=count.split,
            hybrid=count.hybrid,
        )
