"""Deposits of aged guests, kept as plain values, beside what the simulation says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED
from e820pool.deposits import DepositLedger, parse_size
from e820pool.documents import parse_object, value_of, value_to
from e820pool.errors import BadImageError, InputError
from e820pool.extents import PAGE_SHIFT
from e820pool.handoff.build import build_handoff
from e820pool.lab.measured_guest import AGES, Arenas, DepositRun, measure_deposits
from e820pool.memory_map import MemoryMap
from e820pool.report.stress_boots import KeptGuest
from e820pool.sources.buddyinfo import parse_free_blocks
from e820pool.sources.files import read_file
from e820pool.stress.host import PER_CPU
from e820pool.stress.policies import parse_policy
from e820pool.stress.replay import entries_of, simulated_entries, tenths
from e820pool.stress.workload import HV_DEPOSIT_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from e820pool.lab.boot import BootOptions
    from e820pool.lab.machine import Phase
    from e820pool.loading.kernel_file import KernelFile

__all__ = ("arenas_of", "compared", "guest_map", "measured_row", "read_rows")

_MIB = 1 << 20
_GIB = 1 << 30
_LEAST, _MOST = 512 * _MIB, 64 * _GIB
# A PC of QEMU has RAM up to 3 GiB, and what goes beyond from 4 GiB on.
_LOW_END = 3 * _GIB - 64 * _MIB
# The entries after each call up to here, then after one in so many.
_ALL_CALLS = 32
_POINTS = 120
_MOST_CALLS = 100_000
_MOST_NODES = 4
# Of /proc/zoneinfo what decides where an allocation goes.
_ZONE = re.compile(
    r"Node \d+, zone +\w+|(?<=\n) +(?:pages free|min|low|high|managed|start_pfn:|"
    r"count:|high:|batch:) +\d+"
)
_FILES = ("buddyinfo", "pagetypeinfo", "zoneinfo")
# Policies whose pages a guest's kernel chooses one by one.
_DIRECT = ("scattered", "per-node")
_USUAL_SIZES = {"arenas": "2M", "movable": "4G", "cma": "256M"}
# Arenas up to here are blocks of the allocator; huge pages are of 2 MiB and 1 GiB.
_BLOCK_ORDER, _LARGE_ORDER, _HUGE_ORDER = 10, 9, 18
# What lists hold (see PER_CPU) from a release on, by guests of 6.12 and 7.3, 6.1, 5.10.
# Before 5.14 lists are of order 0 alone (commit 44042b449872, "mm/page_alloc: allow
# high-order pages to be stored on the per-cpu lists").
_SHARES = (((6, 7), (85, 15, 0, 0)), ((5, 14), PER_CPU), ((0, 0), (100,)))
_RELEASE = re.compile(r"(\d{1,3})\.(\d{1,3})")


def guest_map(ram_bytes: int) -> MemoryMap:
    """Return the map of a guest of that size, which QEMU can build.

    Raises:
        InputError: less than 512 MiB, or more than 64 GiB.
    """
    if not _LEAST <= ram_bytes <= _MOST:
        raise InputError(
            f"a guest of {ram_bytes:#x} bytes: the limits are {_LEAST:#x} and "
            f"{_MOST:#x}"
        )
    ram_bytes = ram_bytes // _MIB * _MIB
    low_end = min(ram_bytes, _LOW_END)
    rows = [
        (0, 0x9F000, E820_TYPE_RAM),
        (0x9F000, 0x1000, E820_TYPE_RESERVED),
        (0xF0000, 0x1_0000, E820_TYPE_RESERVED),
        (_MIB, low_end - _MIB, E820_TYPE_RAM),
    ]
    if ram_bytes > low_end:
        rows.append((4 * _GIB, ram_bytes - low_end, E820_TYPE_RAM))
    return MemoryMap.of(rows, origin=f"a guest of {ram_bytes // _MIB} MiB")


def arenas_of(policy: str) -> Arenas | None:
    """Return how a guest serves deposits of a policy, None for page by page.

    Raises:
        InputError: there is no such policy, or no guest can follow it: ``top-down``
            and ``grown`` choose places, and huge pages have two sizes.
    """
    parse_policy(policy)
    if policy in _DIRECT:
        return None
    name, _, words = policy.partition(":")
    count, _, size = words.rpartition("x")
    order = -1
    if name in _USUAL_SIZES:
        nr_pages = parse_size(size or _USUAL_SIZES[name]) >> PAGE_SHIFT
        order = nr_pages.bit_length() - 1
    if name == "arenas" and order <= _BLOCK_ORDER:
        return Arenas("ring", order)
    if name == "arenas" and order == _HUGE_ORDER:
        return Arenas("huge", order)
    if name == "movable" and order >= _LARGE_ORDER:
        cmdline = f"movablecore={1 << order + PAGE_SHIFT}"
        return Arenas("zone", _LARGE_ORDER, 1 << order - _LARGE_ORDER, cmdline)
    if name == "cma" and order == _HUGE_ORDER:
        most = int(count or 1)
        cmdline = f"hugetlb_cma={most << order + PAGE_SHIFT}"
        return Arenas("areas", order, most, cmdline)
    raise InputError(
        f"policy {policy[:40]!r} is not one that a guest can follow: scattered, "
        "per-node, arenas up to 4M or of 1G, movable:SIZE, cma:Nx1G"
    )


def measured_row(
    kernel: KernelFile,
    ram_bytes: int,
    options: BootOptions,
    *,
    age: str = "used",
    pages: int = 511,
    calls: int = _MOST_CALLS,
    policy: str = "scattered",
    nodes: int = 1,
    on_phase: Callable[[Phase], None] = lambda _: None,
) -> dict[str, Any]:
    """Boot and age a guest, let it deposit; return what to keep of it.

    Raises:
        InputError: no guest has that size or so many nodes, a call so many pages, or
            no guest can follow the policy.
        LabError: see :func:`e820pool.lab.measured_guest.measure_deposits`.
    """
    if age not in AGES:
        raise InputError(f"age {age[:20]!r} is not one of: {', '.join(AGES)}")
    if not 1 <= pages <= HV_DEPOSIT_MAX:
        raise InputError(f"{pages} pages a call: the limits are 1 and {HV_DEPOSIT_MAX}")
    if not 1 <= nodes <= _MOST_NODES:
        raise InputError(f"{nodes} nodes: a guest has 1 to {_MOST_NODES}")
    arenas = arenas_of(policy)
    memory_map = guest_map(ram_bytes)
    run = measure_deposits(
        build_handoff(memory_map, DepositLedger()),
        kernel,
        options,
        age=age,
        pages=pages,
        calls=calls,
        nodes=nodes,
        arenas=arenas,
        on_phase=on_phase,
    )
    entries = entries_of(memory_map, run.calls)
    return {
        "kernel": kernel.name,
        "ram_bytes": ram_bytes,
        "age": age,
        "policy": policy,
        "nodes": nodes,
        "pages": pages,
        "calls": len(run.calls),
        "ended": run.ended,
        "free_pages": run.free_pages,
        "left_pages": run.left_pages,
        "orders": _orders(run),
        "before": {name: _squeezed(name, text) for name, text in run.before.items()},
        "steps": {
            name: _squeezed(name.rpartition("/")[2], text)
            for name, text in run.steps.items()
        },
        "entries": [[call, entries[call - 1]] for call in _kept_calls(len(entries))],
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return what was measured, a line each.

    Raises:
        InputError: the file cannot be read.
        BadImageError: a line holds no measurement.
    """
    rows = []
    for number, line in enumerate(read_file(path).splitlines(), 1):
        where = f"{path} line {number}"
        text = line.decode("utf-8", "replace")
        row = value_to(KeptGuest, parse_object(text, where, needs_schema=False), where)
        if not 1 <= row.pages <= HV_DEPOSIT_MAX or row.calls > _MOST_CALLS:
            raise BadImageError(
                f"{where}: {row.calls} calls of {row.pages} pages: the limits are "
                f"{_MOST_CALLS} and {HV_DEPOSIT_MAX}"
            )
        rows.append(value_of(row))
    return rows


def compared(row: Mapping[str, Any], seeds: Iterable[int]) -> dict[str, Any]:
    """Return a measurement with the simulation of its guest, at each tenth of it.

    Args:
        row: what :func:`measured_row` returned.
        seeds: of the places of free blocks, which nobody knows.

    Raises:
        InputError, BadImageError: the row is damaged.
    """
    memory_map = guest_map(row["ram_bytes"])
    files = (row["before"].get(name, ()) for name in _FILES)
    text = "\n".join(line for lines in files for line in lines)
    info = parse_free_blocks(text, "the guest's buddyinfo")
    calls = [row["pages"]] * row["calls"]
    per_cpu = _per_cpu(row["kernel"])
    curves = [
        simulated_entries(
            memory_map,
            calls,
            info,
            policy=row["policy"],
            seed=seed,
            nr_nodes=row["nodes"],
            per_cpu=per_cpu,
        )
        for seed in seeds
    ]
    points = tenths(_filled(row["entries"], row["calls"]), curves)
    return {
        **row,
        "tenths": [point._asdict() for point in points],
        "within_15_percent": sum(abs(point.error) <= 0.15 for point in points),
        "within_band": sum(
            point.low <= point.measured <= point.high for point in points
        ),
        "simulated": [
            [[call, curve[call - 1]] for call in _kept_calls(len(curve))]
            for curve in curves
        ],
    }


def _per_cpu(kernel: str) -> tuple[int, ...]:
    release = _RELEASE.search(Path(kernel).name)
    numbers = (int(release[1]), int(release[2])) if release else (6, 1)
    return next(shares for first, shares in _SHARES if numbers >= first)


def _orders(run: DepositRun) -> list[int]:
    counts = [0] * (_HUGE_ORDER + 1)
    for call in run.calls:
        for block in call:
            counts[block.order] += 1
    return counts if any(counts[_BLOCK_ORDER + 1 :]) else counts[: _BLOCK_ORDER + 1]


def _squeezed(name: str, text: str) -> list[str]:
    lines = _ZONE.findall(text) if name == "zoneinfo" else text.strip().splitlines()
    return [" ".join(line.split()) for line in lines]


def _kept_calls(calls: int) -> list[int]:
    step = max(calls // _POINTS, 1)
    some = {*range(1, min(calls, _ALL_CALLS) + 1), *range(step, calls + 1, step)}
    tenth = {max(calls * part // 10, 1) for part in range(1, 11)}
    return sorted(some | tenth) if calls else []


# The kept points hold every tenth; between two the first one counts.
def _filled(points: Sequence[Sequence[int]], calls: int) -> list[int]:
    entries, at = [], 0
    for call in range(1, calls + 1):
        while at + 1 < len(points) and points[at + 1][0] <= call:
            at += 1
        entries.append(points[at][1] if points else 0)
    return entries
