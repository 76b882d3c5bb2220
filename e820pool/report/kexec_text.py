"""The plan of a kexec on this machine, or of a capture kernel, as text and as JSON."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from e820pool.compat import JudgedOn, VerdictWord
from e820pool.compat.file_load import FileLoadRow
from e820pool.documents import (
    CheckedRow,
    Count,
    Document,
    FindingDocument,
    Pair,
    Part,
    document_text,
)
from e820pool.extents import ExtentSet
from e820pool.findings import counted
from e820pool.live.panic import PanicPlan
from e820pool.report.columns import columns
from e820pool.report.verdicts import finding_line, judged_on_lines
from e820pool.report.view_document import mem_range
from e820pool.sources.manifest import DepositDocument
from e820pool.type_words import log_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e820pool.live.plan import KexecPlan
    from e820pool.loading.kexec_segments import KexecImage

__all__ = (
    "FileLoadPart",
    "InheritedPart",
    "KexecPlanDocument",
    "PanicPlanDocument",
    "PlanDocument",
    "SegmentPart",
    "SystemCallPart",
    "plan_json",
    "plan_text",
)

# A table of thousands of entries is in the JSON twin.
_SHOWN = 24
_WIDTH = 13

_FactsAndLines = tuple[list[tuple[str, str]], list[str]]


class SegmentPart(Part, frozen=True, kw_only=True):
    """A segment of kexec_load(2): ``nr_bytes`` of its ``size`` are given, rest is 0."""

    what: str
    addr: Count
    size: Count
    nr_bytes: Count


class InheritedPart(Part, frozen=True, kw_only=True):
    """The pool that this kernel was started with; ``extents`` is null where refused."""

    carrier: str
    generation: Count
    extents: ExtentSet | None


class FileLoadPart(Part, frozen=True, kw_only=True):
    """What kexec_file_load(2) would do; ``exposed`` are deposits that become RAM."""

    row: FileLoadRow
    exposed: ExtentSet
    nr_entries: Count
    lost_bytes: Count
    meaning: str
    cost: str


class SystemCallPart(Part, frozen=True, kw_only=True):
    """Whether the running kernel allows kexec_load(2), and what is left otherwise."""

    kexec_load: bool
    lockdown: str
    secure_boot: bool
    load_disabled: bool
    file_load: FileLoadPart | None


class PlanDocument(Document, frozen=True, kw_only=True):
    """What a plan says of the kernel it would load, whatever it is loaded for.

    ``done`` is how far it came: ``planned``, ``refused``, ``loaded``; ``obstacles`` are
    the reasons why this machine would not load it.
    """

    done: str
    kernel: str
    release: str
    loader: str | UnsetType = UNSET
    cmdline: str
    verdict: VerdictWord
    findings: tuple[FindingDocument, ...]
    judged_on: JudgedOn | None
    obstacles: tuple[str, ...]


class KexecPlanDocument(PlanDocument, frozen=True, kw_only=True, tag="kexec-plan"):
    """A kexec: ``entry`` and ``segments`` by our own loader, commands by another."""

    generation: Count
    inherited: InheritedPart | None
    withdrawn: ExtentSet
    extents: ExtentSet
    deposits: tuple[DepositDocument, ...]
    table: tuple[CheckedRow, ...]
    entry: Count | None
    segments: tuple[SegmentPart, ...] | None
    load: tuple[str, ...] | None
    execute: tuple[str, ...] | None
    system_call: SystemCallPart


class PanicPlanDocument(PlanDocument, frozen=True, kw_only=True, tag="panic-plan"):
    """A capture kernel: ``crash_memory`` is its own, ``dumped`` what it would read."""

    crash_memory: tuple[Pair, ...]
    nr_entries: Count
    extents: ExtentSet
    deposits: tuple[DepositDocument, ...]
    dumped: ExtentSet
    load: tuple[str, ...]


def plan_text(plan: KexecPlan | PanicPlan, obstacles: Sequence[str] = ()) -> str:
    """Return the verdict and the pool, the table or the dump, and the commands.

    ``obstacles`` are the reasons why this machine would not load it.
    """
    if isinstance(plan, PanicPlan):
        facts, lines = _panic_lines(plan)
    else:
        facts, lines = _kexec_lines(plan)
    head = (
        ("kernel", f"{plan.request.kernel.name} ({plan.release or 'no version'})"),
        ("verdict", plan.verdict.verdict),
    )
    lines = [*(f"{name:{_WIDTH}} {value}" for name, value in (*head, *facts)), *lines]
    if plan.verdict.findings:
        lines += ["", *map(finding_line, plan.verdict.findings)]
    lines += ["", *judged_on_lines([plan.verdict])]
    lines += [f"would be refused here: {obstacle}" for obstacle in obstacles]
    return "\n".join(lines)


def _kexec_lines(plan: KexecPlan) -> _FactsAndLines:
    facts = [
        ("inherited", _inherited(plan)),
        ("pool", _pool(plan)),
        ("command line", plan.request.cmdline.decode("utf-8", "replace") or "-"),
        ("record", _carrier(plan)),
        *_system_call(plan),
    ]
    lines = ["", f"table of {counted(len(plan.table), 'entry')}", *_table(plan)]
    if plan.image is not None:
        lines += ["", *_segments(plan.image)]
    return facts, [*lines, "", *_commands(plan)]


def _panic_lines(plan: PanicPlan) -> _FactsAndLines:
    deposits, dumped = plan.ledger.extents, plan.dumped.pages_touched()
    nr_read = (dumped & deposits).nr_pages
    held = f"{counted(dumped.nr_pages, 'page')} of RAM, {nr_read} of them deposited"
    facts = [
        ("runs in", ", ".join(mem_range(span.start, span.size) for span in plan.own)),
        ("table", counted(plan.nr_entries, "entry")),
        ("deposited", _pages(deposits)),
        ("dump", held),
        ("command line", plan.request.cmdline.decode("utf-8", "replace") or "-"),
    ]
    return facts, ["", f"load   {shlex.join(plan.load)}"]


def plan_json(
    plan: KexecPlan | PanicPlan, obstacles: Sequence[str] = (), *, done: str = "planned"
) -> str:
    """Return the JSON twin, kind ``kexec-plan`` or ``panic-plan``.

    ``done`` says how far it came: ``planned``, ``refused``, ``loaded``.
    """
    common = {
        "done": done,
        "kernel": plan.request.kernel.name,
        "release": plan.release,
        "cmdline": plan.request.cmdline.decode("latin-1"),
        "verdict": plan.verdict.verdict,
        "findings": FindingDocument.all_of(plan.verdict.findings),
        "judged_on": plan.verdict.judged_on,
        "obstacles": tuple(obstacles),
        "extents": plan.ledger.extents,
        "deposits": DepositDocument.all_of(plan.ledger),
    }
    if isinstance(plan, PanicPlan):
        return document_text(_panic_document(plan, common))
    return document_text(_kexec_document(plan, common))


def _kexec_document(plan: KexecPlan, common: dict[str, Any]) -> KexecPlanDocument:
    image = plan.image
    return KexecPlanDocument(
        **common,
        loader=plan.request.loader,
        generation=plan.generation,
        inherited=_inherited_part(plan),
        withdrawn=plan.request.changes.withdrawn,
        table=plan.table,
        entry=None if image is None else image.entry,
        segments=None
        if image is None
        else tuple(map(SegmentPart.of_attributes, image.segments)),
        load=plan.load or None,
        execute=plan.execute or None,
        system_call=_system_call_part(plan),
    )


def _panic_document(plan: PanicPlan, common: dict[str, Any]) -> PanicPlanDocument:
    return PanicPlanDocument(
        **common,
        crash_memory=tuple((span.start, span.size) for span in plan.own),
        nr_entries=plan.nr_entries,
        dumped=plan.dumped.pages_touched(),
        load=plan.load,
    )


# No other call is ever used; where this one is refused it is said what is left.
def _system_call(plan: KexecPlan) -> Iterator[tuple[str, str]]:
    gates, load = plan.gates, plan.file_load
    word = "allowed" if gates.allows_kexec_load else "refused"
    secure = "on" if gates.secure_boot else "off"
    state = f"lockdown {gates.lockdown}, Secure Boot {secure}"
    disabled = f"kernel.kexec_load_disabled {int(gates.load_disabled)}"
    yield "kexec_load", f"{word}: {state}, {disabled}"
    if load is None:
        return
    yield "kexec -s", f"row {load.row}: {load.meaning}"
    yield "  its cost", load.cost
    if load.exposed:
        ranges = counted(len(load.deposits), "range")
        yield "  memmap=", f"of {ranges}: not promised, a segment may lie on a deposit"


def _system_call_part(plan: KexecPlan) -> SystemCallPart:
    gates, load = plan.gates, plan.file_load
    return SystemCallPart.of_attributes(
        gates,
        kexec_load=gates.allows_kexec_load,
        file_load=None if load is None else FileLoadPart.of_attributes(load),
    )


def _inherited(plan: KexecPlan) -> str:
    pool = plan.inherited
    if pool is None:
        return "no pool: this kernel has no record"
    if pool.ledger is None:
        return f"refused ({pool.carrier}): what is RESERVED stays RESERVED"
    return (
        f"{_pages(pool.ledger.extents)} by {pool.carrier}, generation {pool.generation}"
    )


def _pool(plan: KexecPlan) -> str:
    gone = plan.request.changes.withdrawn
    withdrawn = f"; {_pages(gone)} withdrawn" if gone else ""
    total = f"{_pages(plan.ledger.extents)}, generation {plan.generation}"
    return f"{total}{withdrawn}"


def _pages(extents: ExtentSet) -> str:
    return f"{counted(extents.nr_pages, 'page')} in {counted(len(extents), 'extent')}"


def _carrier(plan: KexecPlan) -> str:
    if not len(plan.ledger):
        return "none: nothing is deposited"
    if plan.image is not None and plan.request.carries_record:
        return "setup_data node, and the kept file"
    return "the kept file: this loader passes no node on"


def _table(plan: KexecPlan) -> Iterator[str]:
    for addr, size, kind in plan.table[:_SHOWN]:
        yield f"  {mem_range(addr, size)} {log_words(kind, '3.5')}"
    if len(plan.table) > _SHOWN:
        yield f"  ... {len(plan.table) - _SHOWN} more (--format json has them)"


def _segments(image: KexecImage) -> list[str]:
    rows = [
        (s.what, f"{s.addr:#x}", f"{s.end:#x}", f"{s.nr_bytes:#x}")
        for s in image.segments
    ]
    return columns(rows, ("segment", "from", "to", "bytes")).splitlines()


def _commands(plan: KexecPlan) -> Iterator[str]:
    if plan.image is not None:
        nr_segments = len(plan.image.segments)
        yield f"load   kexec_load({plan.image.entry:#x}, {nr_segments} segments)"
    else:
        yield f"load   {shlex.join(plan.load)}"
    start = shlex.join(plan.execute) if plan.execute else "reboot(2), at once"
    yield f"start  {start}"


def _inherited_part(plan: KexecPlan) -> InheritedPart | None:
    pool = plan.inherited
    if pool is None:
        return None
    extents = None if pool.ledger is None else pool.ledger.extents
    return InheritedPart.of_attributes(pool, extents=extents)
