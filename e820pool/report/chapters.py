"""Chapters of a report: a handoff with its verdicts, or another command's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, cast, get_args

from msgspec import UNSET, UnsetType, field

from e820pool.abi.e820 import E820_ENTRY_BYTES
from e820pool.abi.setup_data import SETUP_E820_EXT
from e820pool.compat import Difference, VerdictWord
from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.documents import (
    CheckedRow,
    Count,
    Document,
    FindingDocument,
    Number,
    Part,
    Quantity,
    printable,
    read_document,
)
from e820pool.errors import InputError
from e820pool.extents import ExtentSet
from e820pool.memory_map import MemoryMap
from e820pool.report.handoff_text import parts_of
from e820pool.stress.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.compat import Verdict
    from e820pool.deposits import DepositLedger
    from e820pool.handoff.model import Handoff

__all__ = (
    "KINDS",
    "WORDS",
    "BandDocument",
    "BootedDocument",
    "BudgetsDocument",
    "CellDocument",
    "ChainDocument",
    "Chapter",
    "ComparisonDocument",
    "Content",
    "CurvePoint",
    "DumpDocument",
    "EncodingDocument",
    "ExhaustionDocument",
    "FallDocument",
    "FallsDocument",
    "HandoffChapter",
    "HopDocument",
    "PoolDocument",
    "PoolWord",
    "RunDocument",
    "SampleDocument",
    "SpreadDocument",
    "VerdictsDocument",
    "handoff_chapter",
    "read_result",
)

WORDS: tuple[VerdictWord, ...] = get_args(VerdictWord)
"""What a verdict can be, from the best to none."""

PoolWord = Literal["none", "equal", "other", "refused"]
"""What became of the pool on the way into a kernel."""

# RAM to give up is asked of the zero page alone.
_BUDGET = "128"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffChapter:
    """A handoff: its map before and after, and each kernel's verdict.

    Attributes:
        before: the firmware's own map, None where the handoff does not have it.
        after: the whole table as the handoff has it, which ``sources`` names entry
            by entry.
        parts: what a loader places: what, address, bytes.
    """

    before: MemoryMap | None
    after: MemoryMap
    sources: tuple[str, ...]
    ledger: DepositLedger
    encoding: str
    cmdline: str
    parts: tuple[tuple[str, int, int], ...]
    verdicts: tuple[VerdictDocument, ...]


class VerdictsDocument(Document, frozen=True, kw_only=True, tag="verdicts"):
    """Verdicts, kernel by kernel."""

    verdicts: tuple[VerdictDocument, ...]


class EncodingDocument(Part, frozen=True, kw_only=True):
    """An encoding and its meaning in one sentence."""

    name: str
    meaning: str


class BootedDocument(Part, frozen=True, kw_only=True):
    """What the real kernel did; ``verdict`` is null where its machine was lost.

    ``agrees`` is whether the model foresaw it, ``reasons`` how it did not.
    """

    kernel: str
    verdict: VerdictDocument | None
    nr_touched: Count
    agrees: bool
    reasons: tuple[str, ...]

    @property
    def word(self) -> str:
        """Return the real kernel's word, ``lost`` where its machine was."""
        return "lost" if self.verdict is None else self.verdict.verdict


class CellDocument(Part, frozen=True, kw_only=True):
    """One encoding on one kernel.

    ``verdict`` is null where no handoff could be built, for ``reason``; ``survives``
    says by loader whether a kexec keeps deposits out of RAM, null where that is not
    known.
    """

    encoding: str
    kernel: str
    verdict: VerdictDocument | None
    reason: str | None
    nr_entries: Count
    nr_words_bytes: Count
    wasted_bytes: Count
    rebuildable: bool
    survives: dict[str, bool | None]
    booted: BootedDocument | None

    @property
    def word(self) -> str:
        """Return the model's word, ``no handoff`` where there is none."""
        return "no handoff" if self.verdict is None else self.verdict.verdict

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Return how the model did not foresee what the real kernel did."""
        return () if self.booted is None else self.booted.reasons

    @property
    def is_foreseen(self) -> bool:
        """Return whether nothing contradicts the model."""
        return self.booted is None or self.booted.agrees


class ComparisonDocument(Document, frozen=True, kw_only=True, tag="comparison"):
    """Encodings on kernels; ``cells`` is encoding by encoding."""

    kernels: tuple[str, ...]
    encodings: tuple[EncodingDocument, ...]
    nr_deposits: Count
    nr_deposited_pages: Count
    cells: tuple[CellDocument, ...]
    model_foresaw_all: bool = True

    # Cells in another order would stand under the wrong kernel.
    def __post_init__(self) -> None:
        names = [encoding.name for encoding in self.encodings]
        want = [(name, kernel) for name in names for kernel in self.kernels]
        if [(cell.encoding, cell.kernel) for cell in self.cells] != want:
            raise ValueError(
                f"{len(self.cells)} cells are not one for each of "
                f"{len(self.encodings)} encodings and {len(self.kernels)} kernels, in "
                "their order"
            )

    def row(self, encoding: str) -> tuple[CellDocument, ...]:
        """Return an encoding's cells, in the order of the kernels."""
        return tuple(cell for cell in self.cells if cell.encoding == encoding)


class FallDocument(Part, frozen=True, kw_only=True):
    """When a limit fell: the call, the guest (``created``) and what was deposited."""

    value: Count = 0
    call: Count
    day: Number = 0
    guests: Count = 0
    created: Count
    deposited_pages: Count


class SampleDocument(Part, frozen=True, kw_only=True):
    """A point of the curves; see :class:`e820pool.stress.limits.Sample`."""

    call: Count = 0
    day: Number = 0
    guests: Count = 0
    created: Count = 0
    deposited_pages: Count = 0
    reserved_pages: Count = 0
    regions: Count = 0
    split: Count = 0
    hybrid: Count = 0


class BudgetsDocument(Part, frozen=True, kw_only=True):
    """What the table of the end costs: RAM bytes to give up by budget of entries.

    A budget that nothing reaches has null; ``choices`` are rows of entries and of
    the bytes for them, some of all.
    """

    entries: Count = 0
    ram_bytes: Count = 0
    given_up: dict[str, Count | None] = field(default_factory=dict)
    choices: tuple[tuple[Count, Count], ...] = ()


class RunDocument(Part, frozen=True, kw_only=True):
    """Entries against deposit calls for one policy on one host.

    ``reason`` says why there is nothing, "" where there is; ``limits`` has null for
    one that never fell; ``samples`` are rows of the document's ``sample_fields``.
    """

    key: str = ""
    host: str
    policy: str
    seed: Count
    nodes: Count = 1
    encoding: Literal["split", "hybrid"]
    reason: str
    limits: dict[str, FallDocument | None] | UnsetType = UNSET
    peak: SampleDocument | UnsetType | None = UNSET
    end: SampleDocument | UnsetType = UNSET
    failed_calls: Count | UnsetType = UNSET
    failed_guests: Count | UnsetType = UNSET
    samples: tuple[tuple[Number, ...], ...] | UnsetType = UNSET
    budgets: BudgetsDocument | UnsetType = UNSET

    # What is drawn and told of a run that has no reason against it.
    def __post_init__(self) -> None:
        if self.reason:
            return
        for name in ("limits", "peak", "end", "failed_calls", "samples", "budgets"):
            if getattr(self, name) is UNSET:
                raise ValueError(f"a run without a reason has no {name!r}")

    def fall_of(self, limit: str) -> FallDocument | None:
        """Return when a limit fell, None if it never did."""
        return self.limits.get(limit) if self.limits else None

    @property
    def most(self) -> int:
        """Return the entries at the peak."""
        return int(getattr(self.peak, self.encoding)) if self.peak else 0

    @property
    def calls(self) -> int:
        """Return the calls made."""
        return self.end.call if self.end else 0

    @property
    def guests(self) -> int:
        """Return the guests created."""
        return self.end.created if self.end else 0

    @property
    def given_up(self) -> int | None:
        """Return RAM bytes to give up for 128 entries, None where it does not fit."""
        return self.budgets.given_up.get(_BUDGET) if self.budgets else None


class SpreadDocument(Part, frozen=True, kw_only=True):
    """Least, median and most of some seeds; null is never, or what does not fit."""

    low: Count | None
    middle: Count | None
    high: Count | None


class FallsDocument(Part, frozen=True, kw_only=True):
    """With how many seeds a limit fell, and when: guest and pages are of those."""

    fell: Count
    call: SpreadDocument
    created: SpreadDocument
    deposited_pages: SpreadDocument


class BandDocument(Part, frozen=True, kw_only=True):
    """What the seeds of one policy on one host say together.

    ``answered`` are the seeds with any deposit; rows of ``curve`` are the call, and
    the least, the median and the most entries after it. ``beside`` are the bytes that
    are RESERVED at the end beside what is deposited, ``as_scattered`` the entries that
    today's driver has when it gives up as much RAM.
    """

    host: str
    policy: str
    encoding: Literal["split", "hybrid"]
    seeds: tuple[Count, ...]
    answered: tuple[Count, ...]
    limits: dict[str, FallsDocument]
    most: SpreadDocument
    calls: SpreadDocument
    guests: SpreadDocument
    given_up: dict[str, SpreadDocument]
    beside: SpreadDocument
    as_scattered: SpreadDocument
    curve: tuple[tuple[Count, Count, Count, Count], ...]


class CurvePoint(NamedTuple):
    """The entries that a run needs after a call."""

    call: int
    entries: int


class ExhaustionDocument(Document, frozen=True, kw_only=True, tag="exhaustion"):
    """When entries run out; ``workload`` names what was simulated."""

    workload: dict[str, Number | str]
    limits: tuple[Limit, ...]
    sample_fields: tuple[str, ...]
    results: tuple[RunDocument, ...]
    bands: tuple[BandDocument, ...] = ()

    def __post_init__(self) -> None:
        for at, run in enumerate(self.results):
            for name in ("call", run.encoding):
                if name not in self.sample_fields:
                    raise ValueError(f"sample_fields has no {name!r}")
            for number, row in enumerate(run.samples or ()):
                if len(row) != len(self.sample_fields):
                    raise ValueError(
                        f"results[{at}].samples[{number}] has {len(row)} fields, not "
                        f"the {len(self.sample_fields)} of sample_fields"
                    )

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return name and value of what was simulated, as words."""
        return tuple(
            (name, value if isinstance(value, str) else f"{value:.10g}")
            for name, value in self.workload.items()
        )

    def points_of(self, run: RunDocument) -> tuple[CurvePoint, ...]:
        """Return the calls and entries of a run's samples, in order."""
        call, entries = map(self.sample_fields.index, ("call", run.encoding))
        return tuple(
            CurvePoint(int(row[call]), int(row[entries])) for row in run.samples or ()
        )


class PoolDocument(Part, frozen=True, kw_only=True):
    """The pool as it was rebuilt; ``extents`` is null where it was refused."""

    carrier: str
    generation: Count = 0
    equal: bool
    extents: ExtentSet | None
    findings: tuple[FindingDocument, ...]


class DumpDocument(Part, frozen=True, kw_only=True):
    """The pages that a capture kernel's dump held, and those it was to hold."""

    pages: ExtentSet
    expected_pages: ExtentSet
    nr_bytes: Count


class HopDocument(Part, frozen=True, kw_only=True):
    """One kernel of a chain.

    ``entered`` is ``boot`` or the loader that started it, ``deposits`` what was
    deposited when it started, ``made`` what it deposited itself; ``withdrawn`` went
    before it, and it touched ``used_again`` of that; ``late`` was deposited when it was
    loaded already, and ``touched_late`` of that touched.
    """

    kernel: str
    entered: str
    nr_entries: Count
    deposits: ExtentSet
    touched_deposits: ExtentSet
    table: tuple[CheckedRow, ...]
    pool: PoolDocument | None
    predicted: VerdictDocument | None
    differences: tuple[Difference, ...]
    dump: DumpDocument | None = None
    fatal: str | None = None
    made: ExtentSet
    withdrawn: ExtentSet
    used_again: ExtentSet
    late: ExtentSet = ExtentSet()
    touched_late: ExtentSet = ExtentSet()
    returned: ExtentSet | None = None
    seconds: Quantity

    def __post_init__(self) -> None:
        try:
            self.memory_map  # noqa: B018  entries beyond 2^64 are refused here
        except InputError as exc:
            raise ValueError(f"table: {exc}") from exc

    @property
    def memory_map(self) -> MemoryMap:
        """Return what it made of what it was given."""
        return MemoryMap.of(self.table, f"table of {self.kernel}")

    @property
    def pool_word(self) -> PoolWord:
        """Return what became of the pool."""
        if not self.deposits or self.dump is not None:
            return "none"
        if self.pool is not None and self.pool.equal:
            return "equal"
        refused = self.pool is None or self.pool.extents is None
        return "refused" if refused else "other"

    @property
    def pool_carrier(self) -> str:
        """Return what brought the pool: a live update, or what carried the record."""
        if self.returned:
            return "live update"
        return self.pool.carrier if self.pool else ""

    @property
    def findings(self) -> tuple[FindingDocument, ...]:
        """Return what was found before it and about its pool."""
        predicted = self.predicted.findings if self.predicted else ()
        return (*predicted, *(self.pool.findings if self.pool else ()))


class ChainDocument(Document, frozen=True, kw_only=True, tag="chain"):
    """A chain of kexecs; ``stopped`` says why it did not go on, null at its end."""

    loaders: tuple[str, ...]
    carrier: str
    hops: tuple[HopDocument, ...]
    touched_deposits: ExtentSet
    stopped: str | None
    intact: bool

    def __post_init__(self) -> None:
        if not self.hops:
            raise ValueError("a chain of 0 hops tells nothing")

    @property
    def loss(self) -> str:
        """Return what was lost but pages, "" where nothing was."""
        for hop in self.hops:
            if hop.fatal is not None:
                return f"{hop.kernel} died"
        for hop in self.hops:
            if hop.pool_word not in {"none", "equal"}:
                return f"{hop.kernel} has not the pool that was deposited"
        return ""


Content = (
    HandoffChapter
    | VerdictsDocument
    | ComparisonDocument
    | ExhaustionDocument
    | ChainDocument
)
"""What is in a chapter."""

KINDS: dict[type[Document], str] = {
    VerdictsDocument: "'check'",
    ComparisonDocument: "'compare'",
    ExhaustionDocument: "'stress'",
    ChainDocument: "'chain'",
}
"""The results that a report takes, each with the command that makes it as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One input's part of a report, and where it was read from."""

    origin: str
    content: Content


def read_result(text: str, origin: str) -> Chapter:
    """Return the chapter of a JSON document.

    Raises:
        BadImageError: it is none of these, or not as those commands write it.
    """
    content = cast("Content", read_document(text, KINDS, origin))
    return Chapter(origin=printable(origin), content=content)


def handoff_chapter(
    handoff: Handoff, verdicts: Iterable[Verdict], origin: str
) -> Chapter:
    """Return the chapter of a handoff and what kernels make of it."""
    content = HandoffChapter(
        before=handoff.firmware_map,
        after=MemoryMap(entries=handoff.table.entries, origin=origin),
        sources=tuple(_sources(handoff)),
        ledger=handoff.ledger,
        encoding=printable(handoff.encoding),
        cmdline=printable(handoff.cmdline.decode("ascii", "backslashreplace")),
        parts=tuple(parts_of(handoff)),
        verdicts=tuple(VerdictDocument.of(verdict) for verdict in verdicts),
    )
    return Chapter(origin=printable(origin), content=content)


# In the order of .table.entries.
def _sources(handoff: Handoff) -> Iterator[str]:
    for at in range(len(handoff.boot_params.e820_map)):
        yield f"zero page entry {at}"
    at = 0
    for placed in handoff.nodes:
        if placed.node.type == SETUP_E820_EXT:
            for _ in range(len(placed.node.data) // E820_ENTRY_BYTES):
                yield f"SETUP_E820_EXT entry {at}"
                at += 1
