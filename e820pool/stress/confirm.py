"""Handoffs just below, at and just above what a kernel's model says is its limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE
from e820pool.compat.judge import judge
from e820pool.errors import InputError
from e820pool.handoff.build import MAX_TABLE_ENTRIES
from e820pool.stress.limit_handoffs import (
    cleared_handoff,
    crash_handoff,
    fragment_handoff,
    island_handoff,
    long_node_handoff,
    memmap_handoff,
    run_handoff,
    trampoline_handoff,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from e820pool.findings import Finding
    from e820pool.handoff.model import Handoff
    from e820pool.kernel.profiles import Profile

__all__ = (
    "OBSERVABLE",
    "ConfirmCase",
    "ObservableLimit",
    "cases_for",
    "limits_named",
    "loss_ids",
    "losses_of",
)

_LOSSES = frozenset(("boot-fails", "dropped-entry", "ram-lost", "fallback-map"))
# kaslr.c MAX_MEMMAP_REGIONS, 4.14 to 7.3.
_MEMMAP_REGIONS = 4
# arch/x86/mm/init_64.c memory_block_size_bytes(): said just before memory blocks are
# assigned to nodes.
_WALK = b"x86/mm: Memory block size"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservableLimit:
    """A limit that a boot can confirm.

    Attributes:
        meaning: what happens above it.
        behaviour: its id in specs/kernels, "" where nothing is lost above it.
        make: returns a handoff that needs so much of what is limited.
        loses: ids of the findings that say that it is exceeded.
        shows: those of a machine, where they are others; empty: the same.
        counts: what of.
        crashes: it is confirmed by a crash of the kernel: its capture kernel, loaded by
            kexec_file_load(2), saves a dump or dies.
        silent: above it the kernel dies before its console is up: nothing is printed.
        hangs_after: what the last line says of a kernel that hangs above it.
        step: by how much cases differ at the least.
        doubt: by how much the model may be wrong, and cases keep away from it.
        most: what is within it, where that is the same for all kernels; None asks
            the kernel's model.
        highest: without ``most``, the end of the search; a kernel that loses nothing
            there does not have the limit.
    """

    name: str
    meaning: str
    behaviour: str
    make: Callable[[int], Handoff]
    loses: frozenset[str] = _LOSSES
    shows: frozenset[str] = frozenset()
    counts: str = "entries"
    crashes: bool = False
    silent: bool = False
    hangs_after: bytes = b""
    step: int = 1
    doubt: int = 0
    most: int | None = None
    highest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmCase:
    """One handoff to boot.

    Attributes:
        count: how much of what is limited.
        where: ``below``, ``at`` or ``above`` the limit as the model has it, or
            ``no limit`` where the model has none.
    """

    limit: ObservableLimit
    count: int
    entries: int
    where: str
    handoff: Handoff


OBSERVABLE: dict[str, ObservableLimit] = {
    limit.name: limit
    for limit in (
        ObservableLimit(
            name="zero-page",
            meaning="entries are in SETUP_E820_EXT, and nothing is lost in this boot",
            behaviour="",
            make=island_handoff,
            most=E820_MAX_ENTRIES_ZEROPAGE,
        ),
        ObservableLimit(
            name="table",
            meaning="the kernel's own table is full, and entries are dropped",
            behaviour="full-table-drops-entries",
            make=island_handoff,
            highest=MAX_TABLE_ENTRIES + 1,
        ),
        ObservableLimit(
            name="memblock",
            meaning="memblock's array cannot grow, and RAM is lost",
            behaviour="memblock-array-grows-in-low-memory",
            make=run_handoff,
            hangs_after=_WALK,
            step=2,
            # Of 1024 regions with the low RAM that these handoffs have.
            highest=2300,
        ),
        ObservableLimit(
            name="trampoline",
            meaning="memblock's array takes the place of the trampoline: a panic",
            behaviour="no-trampoline-kills",
            make=trampoline_handoff,
            loses=frozenset(("boot-fails",)),
            step=2,
            highest=500,
        ),
        ObservableLimit(
            name="freed-array",
            meaning="memblock's array is read after it was freed and cleared: a hang",
            behaviour="regions-read-after-free",
            make=cleared_handoff,
            loses=frozenset(("boot-fails",)),
            hangs_after=_WALK,
            step=2,
            highest=500,
        ),
        ObservableLimit(
            name="fragments",
            meaning="no slot for the page table of one more fragment: a BUG",
            behaviour="reserved-array-stuck",
            make=fragment_handoff,
            loses=frozenset(("boot-fails",)),
            step=2,
            # Two fragments: how many page tables lie in the kernel itself varies.
            doubt=4,
            highest=500,
        ),
        ObservableLimit(
            name="capture-table",
            meaning="a capture kernel by kexec_file_load has no RAM: no dump",
            behaviour="capture-table-has-reserved",
            make=crash_handoff,
            loses=frozenset(("capture-table-full",)),
            counts="entries before its RAM",
            crashes=True,
            highest=300,
        ),
        ObservableLimit(
            name="ext-node",
            meaning="SETUP_E820_EXT cannot be mapped: the kernel crashes early",
            behaviour="ext-node-mapped-whole",
            make=long_node_handoff,
            loses=frozenset(("boot-fails",)),
            silent=True,
            highest=14_000,
        ),
        ObservableLimit(
            name="kaslr-memmap",
            meaning="KASLR puts the kernel into the fifth memmap= region",
            behaviour="kaslr",
            make=memmap_handoff,
            loses=frozenset(("memmap-limit", "touched-by-decompressor")),
            shows=frozenset(("touched",)),
            counts="memmap= regions",
            most=_MEMMAP_REGIONS,
        ),
    )
}
"""Limits by their names; specs/exhaustion.md says what was observed."""


def limits_named(text: str) -> tuple[str, ...]:
    """Return the names in a comma list, or all for ``all``.

    Raises:
        InputError: one of them is none.
    """
    if text == "all":
        return tuple(OBSERVABLE)
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in OBSERVABLE:
            known = ", ".join(OBSERVABLE)
            raise InputError(f"limit {name[:40]!r} is not one of: {known}, all")
    return names


def cases_for(
    name: str,
    profile: Profile,
    bind: Callable[[Handoff], Handoff] = lambda handoff: handoff,
) -> Iterator[ConfirmCase]:
    """Yield the handoffs around a kernel's limit: one below, at and above it.

    For a kernel that has not got the limit it is one handoff, far above that of
    others, of which nothing may be lost.

    Args:
        name: of the limit.
        profile: the kernel's.
        bind: returns a handoff as a loader completes it: a kernel's and an initrd's
            places count too.

    Raises:
        InputError: there is no limit of this name.
    """
    (name,) = limits_named(name)
    limit = OBSERVABLE[name]
    most = limit.most or _most_without_loss(limit, profile, bind)
    if most is None:
        yield _case(limit, "no limit", limit.highest)
        return
    at = most - limit.doubt
    yield _case(limit, "below", at - limit.step)
    yield _case(limit, "at", at)
    yield _case(limit, "above", most + limit.step + limit.doubt)


def losses_of(
    handoff: Handoff, profile: Profile, among: Iterable[str] = _LOSSES
) -> tuple[str, ...]:
    """Return the ids of what the modelled kernel loses or fails at, sorted."""
    return loss_ids(judge(handoff, profile).findings, among)


def loss_ids(
    findings: Iterable[Finding], among: Iterable[str] = _LOSSES
) -> tuple[str, ...]:
    """Return the ids of findings that say what is lost, sorted."""
    return tuple(sorted({finding.id for finding in findings} & set(among)))


def _case(limit: ObservableLimit, where: str, value: int) -> ConfirmCase:
    handoff = limit.make(value)
    entries = len(handoff.table)
    return ConfirmCase(
        limit=limit,
        count=entries if limit.counts == "entries" else value,
        entries=entries,
        where=where,
        handoff=handoff,
    )


# The model is asked, not a formula: it knows what else the kernel puts in.
def _most_without_loss(
    limit: ObservableLimit, profile: Profile, bind: Callable[[Handoff], Handoff]
) -> int | None:
    def loses(value: int) -> bool:
        return bool(losses_of(bind(limit.make(value)), profile, limit.loses))

    step, low, high = limit.step, 16, limit.highest
    if not loses(high):
        return None
    while high - low > step:
        middle = (low + high) // 2 // step * step
        if loses(middle):
            high = middle
        else:
            low = middle
    return low
