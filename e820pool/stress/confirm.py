"""Handoffs just below, at and just above what a kernel's model says is its limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
)
from e820pool.compat.check import check
from e820pool.deposits import DepositLedger
from e820pool.errors import InputError
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.strict import whole_table
from e820pool.kernel.early_boot import predict
from e820pool.kernel.reading import boot_input
from e820pool.memory_map import MemoryMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from e820pool.findings import Finding
    from e820pool.handoff.model import Handoff
    from e820pool.kernel.profiles import Profile

__all__ = ("CONFIRMABLE", "ConfirmCase", "cases_for", "loss_ids", "losses_of")

_MIB = 1 << 20
_HIGH = 1 << 32
_LOW_RAM = (0x0, 0x9F000, E820_TYPE_RAM)
# A small PC, as a lab can build it: half a GiB below 4 GiB and as much above.
_PC = (
    (0x9F000, 0x1000, E820_TYPE_RESERVED),
    (0xF0000, 0x10000, E820_TYPE_RESERVED),
    (_MIB, 511 * _MIB, E820_TYPE_RAM),
    (0xFEC0_0000, 0x140_0000, E820_TYPE_RESERVED),
    (_HIGH, 512 * _MIB, E820_TYPE_RAM),
)
# Room for the real-mode trampoline, and for memblock's array up to 1024 regions: it is
# doubled in the highest place that fits, 8, 12 and 24 KiB, and 48 KiB are nowhere.
_SCANT_LOW_RAM = (
    (0x1_0000, 0x7000, E820_TYPE_RAM),
    (0x2_0000, 0x6000, E820_TYPE_RAM),
    (0x3_0000, 0x6000, E820_TYPE_RAM),
)
# RESERVED that is far from all RAM fills a table, and no memblock array with it.
_ISLANDS = 1 << 40
_STRIDE = 16 << 12
_MOST_ENTRIES = 6000
_LOSSES = {"boot-fails", "dropped-entry", "ram-lost", "fallback-map"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmCase:
    """Hold one handoff to boot.

    Attributes:
        limit: a key of :data:`CONFIRMABLE`.
        entries: of the table.
        where: ``below``, ``at`` or ``above`` the limit as the model has it.
        handoff: what to boot.
    """

    limit: str
    entries: int
    where: str
    handoff: Handoff


def _island_handoff(entries: int) -> Handoff:
    # One deposit, and as many islands as it takes.
    deposit = (_HIGH + _MIB, _HIGH + 2 * _MIB)
    count = entries - 1 - len(_PC) - 2
    islands = [
        (_ISLANDS + at * 2 * _STRIDE, _STRIDE, E820_TYPE_RESERVED)
        for at in range(max(count, 0))
    ]
    return _built((_LOW_RAM, *_PC, *islands), [deposit])


def _run_handoff(entries: int) -> Handoff:
    # Runs of RAM between deposits, and hardly any RAM below 640 KiB.
    first = _HIGH + _MIB
    count = (entries - len(_PC) - len(_SCANT_LOW_RAM)) // 2
    deposits = [
        (first + at * _STRIDE, first + at * _STRIDE + 4096) for at in range(count)
    ]
    return _built((*_SCANT_LOW_RAM, *_PC), deposits)


def _built(
    rows: tuple[tuple[int, int, int], ...], deposits: list[tuple[int, int]]
) -> Handoff:
    memory_map = MemoryMap.of(rows, origin="made for a limit")
    ledger = DepositLedger.of_ranges(deposits)
    return build_handoff(memory_map, ledger, BuildOptions(max_entries=_MOST_ENTRIES))


CONFIRMABLE: dict[str, Callable[[int], Handoff]] = {
    "zero-page": _island_handoff,
    "table": _island_handoff,
    "memblock": _run_handoff,
}
"""Limits that a boot can confirm, with what makes a handoff of so many entries.

``zero-page``: 128 entries, beyond which SETUP_E820_EXT is read. ``table``: the
kernel's own table. ``memblock``: its array of regions, which grows into RAM below
640 KiB, and here has little more than the trampoline needs.
"""


def cases_for(limit: str, profile: Profile) -> Iterator[ConfirmCase]:
    """Yield the handoffs around a kernel's limit: one below, at and above it.

    Raises:
        InputError: no such limit, or one that this kernel has not.
    """
    if limit not in CONFIRMABLE:
        known = ", ".join(CONFIRMABLE)
        raise InputError(f"limit {limit[:40]!r} is not one of: {known}")
    make = CONFIRMABLE[limit]
    step = 2 if make is _run_handoff else 1
    most = E820_MAX_ENTRIES_ZEROPAGE
    if limit != "zero-page":
        most = _most_without_loss(make, profile, step)
    for where, entries in (
        ("below", most - step),
        ("at", most),
        ("above", most + step),
    ):
        handoff = make(entries)
        yield ConfirmCase(
            limit=limit,
            entries=int(whole_table(handoff).size),
            where=where,
            handoff=handoff,
        )


def losses_of(handoff: Handoff, profile: Profile) -> tuple[str, ...]:
    """Return the ids of what the modelled kernel loses or fails at, sorted."""
    view = predict(handoff, profile)
    found = check(handoff.ledger, view, boot_input(handoff), profile).findings
    return loss_ids(found)


def loss_ids(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the ids of findings that say what is lost, sorted."""
    return tuple(sorted({finding.id for finding in findings} & _LOSSES))


def _most_without_loss(
    make: Callable[[int], Handoff], profile: Profile, step: int
) -> int:
    # The model is asked, not a formula: it knows what else the kernel puts in.
    low, high = 16, _MOST_ENTRIES // 2 * 2
    if not losses_of(make(high), profile):
        raise InputError(f"kernel {profile.release} loses nothing up to {high} entries")
    while high - low > step:
        middle = (low + high) // 2 // step * step
        if losses_of(make(middle), profile):
            high = middle
        else:
            low = middle
    return low
