"""Judge captured maps of many hosts, each with deposits, against many kernels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool import __version__
from e820pool.compat import Verdict, judge_each
from e820pool.deposits import DepositLedger
from e820pool.documents import value_of
from e820pool.errors import E820PoolError
from e820pool.extents import PAGE_SHIFT, ExtentSet
from e820pool.handoff.build import build_handoff
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap
from e820pool.stress.draws import Draws

if TYPE_CHECKING:
    from e820pool.handoff.model import Handoff
    from e820pool.memory_devices import MemoryDevices
    from e820pool.range_lists import Row, StartCount

__all__ = ("Captured", "check_captured", "scattered_pages")

# Grows with what an answer means.
_RESULT_VERSION = 3
_FIRST_PAGE = 1 << (20 - PAGE_SHIFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One host of a fleet, as plain values that go to other processes.

    Attributes:
        id: what the host is called.
        rows: its map, ``(addr, size, type)``.
        deposits: ``(base_pfn, nr_pages)``; None lets ``scatter`` pages be drawn.
        error: why there is no map, "" where there is one.
        notes: what was odd in its source, ``(id, message)``.
        scatter: single pages to deposit where the host names none.
        seed: of their draw; each host draws its own.
        devices: where memory can be added to it, None for not known.
        later: ``(base_pfn, nr_pages)`` of RAM where none is drawn: its own kernel
            reserved it after it had printed the map.
    """

    id: str
    rows: tuple[Row, ...] = ()
    deposits: tuple[StartCount, ...] | None = None
    error: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    kernels: tuple[str, ...] = ()
    scatter: int = 16
    seed: int = 0
    devices: MemoryDevices | None = None
    later: tuple[StartCount, ...] = ()

    @property
    def key(self) -> str:
        """Return a name for exactly this question, the same on every machine.

        The version of the package and what it knows of the kernels are part of it,
        since the answer depends on them.
        """
        host = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.devices is not None:
            host["devices"] = asdict(self.devices)
        text = (
            f'["{__version__}", {_RESULT_VERSION}, {json.dumps(host, sort_keys=True)}, '
            f"{_known_of_all(self.kernels)}]"
        )
        return hashlib.sha256(text.encode()).hexdigest()[:24]


# The same for all hosts of a fleet, and more than all else that is asked.
@lru_cache(maxsize=16)
def _known_of_all(kernels: tuple[str, ...]) -> str:
    return json.dumps([_known_of(kernel) for kernel in kernels], sort_keys=True)


# As text that is the same in every process: sets have no order.
def _known_of(kernel: str) -> list[Any]:
    try:
        profile = profile_for(kernel)
    except E820PoolError:
        return []
    config = sorted((name, repr(value)) for name, value in profile.config.items())
    return [sorted(profile.behaviours), config, profile.capacity, profile.checked]


def check_captured(host: Captured) -> dict[str, Any]:
    """Return a host's verdicts by kernel, or ``error``, as plain values.

    A host whose map could not be read is ``unreadable`` as well.

    The handoff is the one that ``build`` makes of its map and deposits.
    """
    if host.error:
        return {"id": host.id, "error": host.error, "unreadable": True}
    try:
        handoff = _handoff_of(host)
        profiles = [profile_for(kernel) for kernel in host.kernels]
        verdicts = {
            verdict.kernel: _value(verdict) for verdict in judge_each(handoff, profiles)
        }
    except E820PoolError as exc:
        return {"id": host.id, "error": str(exc)}
    return {
        "id": host.id,
        "entries": len(handoff.table),
        "deposits": handoff.ledger.extents.nr_pages,
        "notes": [{"id": name, "message": text} for name, text in host.notes],
        "verdicts": verdicts,
    }


def scattered_pages(ram: ExtentSet, count: int, draws: Draws) -> ExtentSet:
    """Return at most ``count`` single pages of RAM from 1 MiB on, anywhere."""
    high = ram & ExtentSet([(_FIRST_PAGE, ExtentSet.LIMIT)])
    if not high or count < 1:
        return ExtentSet()
    sizes = (high.ends - high.starts).astype(np.int64)
    after = np.cumsum(sizes)
    drawn = np.unique(draws.many_below(high.nr_pages, count)).astype(np.int64)
    run = np.searchsorted(after, drawn, side="right")
    inside = drawn - (after[run] - sizes[run])
    pages = high.starts[run] + inside.astype(np.uint64)
    return ExtentSet.from_bounds(pages, pages + np.uint64(1))


def _handoff_of(host: Captured) -> Handoff:
    memory_map = MemoryMap.of(host.rows, origin=host.id)
    memory_map = replace(memory_map, devices=host.devices)
    if host.deposits is None:
        # By the name and not by the place in the fleet: the same alone and among many.
        draws = Draws(host.seed).fork(
            int.from_bytes(host.id.encode("utf-8", "surrogatepass"), "little")
        )
        later = ExtentSet((base, base + nr) for base, nr in host.later)
        pages = scattered_pages(memory_map.ram_pages() - later, host.scatter, draws)
        ledger = DepositLedger.of_ranges(pages.to_bytes())
    else:
        spans = (
            (base << PAGE_SHIFT, (base + nr) << PAGE_SHIFT)
            for base, nr in host.deposits
        )
        ledger = DepositLedger.of_ranges(spans)
    return build_handoff(memory_map, ledger)


def _value(verdict: Verdict) -> dict[str, Any]:
    ids = dict.fromkeys(finding.id for finding in verdict.findings)
    return {
        "verdict": verdict.verdict,
        "findings": list(ids),
        "judged_on": value_of(verdict.judged_on),
    }
