"""Deposits of a real guest beside those of the simulation, call by call."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from e820pool.errors import CapacityError
from e820pool.stress.draws import Draws
from e820pool.stress.entries import EntryCount
from e820pool.stress.host import PER_CPU, HostPages, zones_of
from e820pool.stress.policies import deposit_extents, parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e820pool.memory_map import MemoryMap
    from e820pool.range_lists import StartEnd
    from e820pool.sources.buddyinfo import ZoneFree

__all__ = ("Tenth", "entries_of", "simulated_entries", "tenths")


class Tenth(NamedTuple):
    """One point at which two curves are compared.

    Attributes:
        call: deposit calls so far.
        measured: entries of the real guest.
        low: the fewest entries that a seed has.
        middle: the median over seeds.
        high: the most.
        error: of the median, as a share of what was measured.
    """

    call: int
    measured: int
    low: int
    middle: int
    high: int
    error: float


def entries_of(memory_map: MemoryMap, calls: Iterable[Iterable[StartEnd]]) -> list[int]:
    """Return the entries after each call that deposited blocks ``(pfn, order)``."""
    count, entries = EntryCount(memory_map), []
    for blocks in calls:
        count.add_all((pfn, pfn + (1 << order)) for pfn, order in blocks)
        entries.append(count.split)
    return entries


def simulated_entries(
    memory_map: MemoryMap,
    calls: Iterable[int],
    info: Sequence[ZoneFree],
    *,
    policy: str = "scattered",
    seed: int = 0,
    nr_nodes: int = 1,
    per_cpu: Sequence[int] = PER_CPU,
) -> list[int]:
    """Return the entries after each call of so many pages, on a host of that state.

    Calls ask the nodes in turn. Where the host has no pages left for a call, or no room
    for the policy's areas, entries stay as they are.

    Args:
        memory_map: the host's.
        calls: pages of each; nothing else happens.
        info: what is free before the first.
        policy: see :func:`e820pool.stress.policies.parse_policy`.
        seed: decides where free blocks lie.
        nr_nodes: NUMA nodes.
        per_cpu: blocks per order that buddyinfo does not count.

    Raises:
        InputError: the host has no room for what is said to be free.
    """
    chosen, zones = parse_policy(policy), zones_of(memory_map, nr_nodes)
    host = HostPages(zones, chosen.make_buddy)
    host.fill(zones, "used", info, Draws(seed), per_cpu)
    count = EntryCount(memory_map)
    entries: list[int] = []
    with contextlib.suppress(CapacityError):
        source = chosen.make_source(host, count)
        for at, nr_pages in enumerate(calls):
            if deposit_extents(source, nr_pages, at % nr_nodes) is None:
                break
            entries.append(count.split)
    return entries or [count.split]


def tenths(measured: Sequence[int], simulated: Sequence[Sequence[int]]) -> list[Tenth]:
    """Return the curves at each tenth of the measured calls.

    A simulation that ended before a call counts with its last value.
    """
    parts = []
    for tenth in range(1, 11):
        call = max(len(measured) * tenth // 10, 1)
        values = sorted(
            curve[min(call, len(curve)) - 1] for curve in simulated if curve
        )
        if not values or not measured:
            break
        real, middle = measured[call - 1], values[len(values) // 2]
        error = (middle - real) / real
        parts.append(Tenth(call, real, values[0], middle, values[-1], error))
    return parts
