"""Chapters of a report: what one input has to tell, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from e820pool.compat import Difference, Verdict
    from e820pool.deposits import DepositLedger
    from e820pool.extents import ExtentSet
    from e820pool.findings import Finding
    from e820pool.memory_map import MemoryMap
    from e820pool.stress.limits import Limit

__all__ = (
    "ChainChapter",
    "Chapter",
    "ComparisonChapter",
    "Curve",
    "ExhaustionChapter",
    "Fall",
    "HandoffChapter",
    "HopStep",
    "Judged",
    "MatrixCell",
    "PoolWord",
    "VerdictsChapter",
)

PoolWord = Literal["none", "equal", "other", "refused"]
"""What became of the pool on the way into a kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Hold one kernel's verdict, and both sides of it where it was booted.

    Attributes:
        model, machine: each side's own word, "" where nothing was booted.
    """

    verdict: Verdict
    model: str = ""
    machine: str = ""
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffChapter:
    """Tell of a handoff: its map before and after, and each kernel's verdict.

    Attributes:
        origin: where it was read from.
        before: the firmware's own map, None where the handoff does not have it.
        after: the whole table as the handoff has it, which ``sources`` names entry
            by entry.
        parts: what a loader places: what, address, bytes.
    """

    origin: str
    before: MemoryMap | None
    after: MemoryMap
    sources: tuple[str, ...]
    ledger: DepositLedger
    encoding: str
    cmdline: str
    parts: tuple[tuple[str, int, int], ...]
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictsChapter:
    """Tell verdicts, kernel by kernel."""

    origin: str
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixCell:
    """Hold one encoding on one kernel.

    Attributes:
        verdict: None where no handoff could be built, for ``reason``.
        survives: loader, and whether a kexec by it keeps deposits out of RAM, None
            where that is not known.
        booted: the real kernel's word, ``lost`` where its machine was, "" where none
            was booted.
        nr_touched: deposited pages that the real kernel read or wrote.
        is_foreseen: whether the model foresaw what the real kernel did.
        disagreements: how it did not.
    """

    encoding: str
    kernel: str
    verdict: Verdict | None
    reason: str
    nr_entries: int
    nr_words_bytes: int
    wasted_bytes: int
    is_rebuildable: bool
    survives: tuple[tuple[str, bool | None], ...]
    booted: str = ""
    nr_touched: int = 0
    is_foreseen: bool = True
    disagreements: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """Return the model's word, ``no handoff`` where there is none."""
        return "no handoff" if self.verdict is None else self.verdict.verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonChapter:
    """Tell of encodings on kernels; ``cells`` is encoding by encoding.

    Attributes:
        encodings: name and meaning.
    """

    origin: str
    kernels: tuple[str, ...]
    encodings: tuple[tuple[str, str], ...]
    cells: tuple[MatrixCell, ...]
    nr_deposits: int
    nr_pages: int

    def row(self, encoding: str) -> tuple[MatrixCell, ...]:
        """Return an encoding's cells, in the order of the kernels."""
        return tuple(one for one in self.cells if one.encoding == encoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """Say at which call, with which guest and how many pages a limit fell."""

    call: int
    guest: int
    nr_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Hold entries against deposit calls for one policy on one host.

    Attributes:
        reason: why there is nothing to tell, "" where there is.
        points: calls and entries, in order.
        falls: the limits that fell, by name; one that is missing never did.
        most: entries at the peak.
        failed_calls: deposits that found no page.
        given_up: RAM bytes to give up for 128 entries, None where it does not fit.
    """

    host: str
    policy: str
    seed: int
    encoding: str
    reason: str = ""
    points: tuple[tuple[int, int], ...] = ()
    falls: tuple[tuple[str, Fall], ...] = ()
    most: int = 0
    calls: int = 0
    guests: int = 0
    failed_calls: int = 0
    given_up: int | None = None

    def fall_of(self, limit: str) -> Fall | None:
        """Return when a limit fell, None if it never did."""
        return dict(self.falls).get(limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExhaustionChapter:
    """Tell when entries run out.

    Attributes:
        workload: name and value of what was simulated.
    """

    origin: str
    workload: tuple[tuple[str, str], ...]
    limits: tuple[Limit, ...]
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HopStep:
    """Hold one kernel of a chain.

    Attributes:
        entered: ``boot``, or the loader that started it.
        table: what it made of what it was given.
        deposits: what was deposited when it started.
        nr_touched: of those, pages that it read or wrote.
        pool: whether the rebuilt pool is what was deposited.
        carrier: how its record came, "" without one.
        nr_made: pages that it deposited itself.
        nr_withdrawn, nr_used_again: pages the kernel before withdrew, and those of
            them that this one has touched.
        differences: between the model's reading and the machine's.
    """

    kernel: str
    entered: str
    nr_entries: int
    table: MemoryMap
    deposits: ExtentSet
    nr_touched: int
    pool: PoolWord
    carrier: str
    pool_findings: tuple[Finding, ...]
    predicted: Verdict | None
    differences: tuple[Difference, ...]
    nr_made: int
    nr_withdrawn: int
    nr_used_again: int
    seconds: float

    @property
    def nr_deposited(self) -> int:
        """Return the pages that were deposited when this kernel started."""
        return self.deposits.nr_pages


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainChapter:
    """Tell of a chain of kexecs, kernel by kernel.

    Attributes:
        nr_touched: deposited pages that any kernel touched.
        stopped: why it did not go on, "" when it came to its end.
    """

    origin: str
    carrier: str
    loaders: tuple[str, ...]
    hops: tuple[HopStep, ...]
    nr_touched: int
    stopped: str
    is_intact: bool


Chapter = (
    HandoffChapter
    | VerdictsChapter
    | ComparisonChapter
    | ExhaustionChapter
    | ChainChapter
)
"""One input's part of a report."""
