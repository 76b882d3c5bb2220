"""A sweep's cells: one host, one policy, one seed each, as plain values in and out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from e820pool import __version__
from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.deposits import DepositLedger
from e820pool.handoff.budget import budget_curve
from e820pool.handoff.encodings import encoding_named
from e820pool.memory_map import MemoryMap
from e820pool.stress.limits import LIMITS
from e820pool.stress.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from e820pool.range_lists import Row
    from e820pool.sources.buddyinfo import ZoneFree
    from e820pool.stress.limits import Fall, SimulationOutcome
    from e820pool.stress.workload import Workload

__all__ = ("BUDGETS", "RESULT_VERSION", "Cell", "cells_of", "run_cell")

BUDGETS = (128, 315, 2048, 3195)
"""Budgets of entries for which a result says what they cost: the zero page, a kernel's
table of 320 and of 3200 less what the kernel itself splits, kexec-tools."""

_CHOICES = 200

RESULT_VERSION = 4
"""Grows with what a result means, so that kept results of another are not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The arguments of one simulation.

    Attributes:
        wear: see :func:`e820pool.stress.simulate.simulate`.
        info: what is free on the host, for real.
    """

    host: str
    rows: tuple[Row, ...]
    workload: Workload
    policy: str
    seed: int = 0
    nodes: int = 1
    wear: str = "used"
    info: tuple[ZoneFree, ...] = field(default=())
    encoding: str = "split"

    @property
    def key(self) -> str:
        """Return a name for exactly these arguments, the same on every machine.

        The version of the package is part of it, since the result depends on it.
        """
        text = json.dumps([__version__, RESULT_VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def cells_of(
    hosts: Iterable[tuple[str, MemoryMap]],
    policies: Sequence[str],
    seeds: Sequence[int],
    **same: Any,
) -> tuple[Cell, ...]:
    """Return the cells of all hosts (name and map), policies and seeds, host by host.

    ``same`` are fields of :class:`Cell` that all cells share.
    """
    named = [(name, tuple(memory_map.rows())) for name, memory_map in hosts]
    return tuple(
        Cell(host=name, rows=rows, policy=policy, seed=seed, **same)
        for (name, rows), policy, seed in product(named, policies, seeds)
    )


def run_cell(
    cell: Cell, progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Return the outcome of a cell as plain values, for JSON and other processes.

    Args:
        cell: what to simulate.
        progress: called with the share of the days that is over.

    Raises:
        InputError: see :func:`e820pool.stress.simulate.simulate`.
    """
    memory_map = MemoryMap.of(cell.rows)
    outcome = simulate(
        memory_map,
        cell.workload,
        cell.policy,
        seed=cell.seed,
        nr_nodes=cell.nodes,
        wear=cell.wear,
        info=cell.info,
        encoding=cell.encoding,
        progress=progress,
    )
    result = {
        "key": cell.key,
        "host": cell.host,
        "policy": cell.policy,
        "seed": cell.seed,
        "nodes": cell.nodes,
        "encoding": cell.encoding,
        "reason": outcome.reason,
    }
    if outcome.reason:
        return result
    falls = {fall.limit: fall for fall in outcome.falls}
    return result | {
        "limits": {limit.name: _fall(falls.get(limit.name)) for limit in LIMITS},
        "peak": outcome.peak._asdict() if outcome.peak is not None else None,
        "end": outcome.samples[-1]._asdict(),
        "failed_calls": outcome.failed_calls,
        "failed_guests": outcome.failed_guests,
        "samples": [list(sample) for sample in outcome.samples],
        "budgets": _budgets(memory_map, outcome),
    }


# With the fields of a sample that do not depend on how deposits are encoded.
def _fall(fall: Fall | None) -> dict[str, Any] | None:
    if fall is None:
        return None
    names = ("call", "day", "guests", "created", "deposited_pages")
    return {"value": fall.value} | {name: getattr(fall.sample, name) for name in names}


def _budgets(memory_map: MemoryMap, outcome: SimulationOutcome) -> dict[str, Any]:
    # What the table of the end costs in RAM to fit; null where nothing is enough.
    pages = outcome.reserved
    ranges = [] if pages is None else list((pages & memory_map.ram_pages()).to_bytes())
    ledger = DepositLedger.of_ranges(ranges)
    table = encoding_named(outcome.encoding).make_table(memory_map, ledger)
    curve = budget_curve(table)
    ram = int(table["size"][table["type"] == E820_TYPE_RAM].sum())
    # Some of the curve's points, with both ends.
    entries, costs = curve.nr_entries.tolist(), curve.given_up_bytes.tolist()
    rows = list(zip(entries, costs, strict=True))
    step = max(len(rows) // _CHOICES, 1)
    return {
        "entries": int(table.size),
        "ram_bytes": ram,
        "given_up": {str(budget): curve.bytes_for(budget) for budget in BUDGETS},
        "choices": list(dict.fromkeys((*rows[::step], rows[-1]))),
    }
