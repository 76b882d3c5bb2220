"""From what one kernel of a chain left to its Hop: table, pages, pool, prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from e820pool.abi.binding import parse_value
from e820pool.abi.boot_params import parse_boot_params
from e820pool.abi.e820 import E820_ENTRY_BYTES, parse_table
from e820pool.abi.kho import parse_kho_payload
from e820pool.abi.pool_record import SETUP_E820POOL
from e820pool.abi.setup_data import SETUP_E820_EXT, SETUP_KEXEC_KHO, KhoData
from e820pool.compat import Difference, diff, judge_input, model_of_boot
from e820pool.compat.file_load import file_load_of, findings_of_segments
from e820pool.compat.paging import (
    RunningKernel,
    findings_of_start,
)
from e820pool.errors import LabError
from e820pool.extents import ByteRangeSet, ExtentSet, Span
from e820pool.handoff.model import Handoff
from e820pool.kernel.boot_input import BootInput, boot_input
from e820pool.kernel.kho import reads_kho
from e820pool.lab.chain_model import BY_FILE, Hop
from e820pool.lab.machine_view import TouchedPages, view_of_machine
from e820pool.loading.kernel_file import KernelFile, known_profile
from e820pool.loading.kexec_loaders import by_kexec_file, by_kexec_tools
from e820pool.pool.rebuild import RebuildResult, rebuild

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e820pool.findings import Finding
    from e820pool.kernel.view import KernelView, Row
    from e820pool.lab.guest_ram import GuestRam
    from e820pool.lab.guest_report import GuestReport
    from e820pool.lab.hop_loaders import NextKernel
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.option import PmpoolOption

__all__ = (
    "REGION_RECORD",
    "HopFacts",
    "findings_of_pair",
    "hop_of",
    "row_differences",
    "seen_handoff",
    "seen_rows",
    "touched_pages",
    "with_handover",
)

REGION_RECORD = "region_record"
"""The frame in which the guest sends the first page of the region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopFacts:
    """Everything that was seen of one kernel of a chain.

    Attributes:
        started: what it was started with, as our own loader places it.
        region: ours, which its command line names; None with another carrier.
        touched: deposited pages that it touched.
        changed: those of them whose content is another now.
        died: why the machine was lost, "" while it lives.
        expected: what was found about the pair of kernels before the hop.
        memory: RAM as it is and as the kernel before left it, where a handover lies;
            None where that was not kept.
    """

    kernel: KernelFile
    entered: str
    started: NextKernel
    region: PmpoolOption | None = None
    before: Hop | None
    starter: KernelFile | None
    report: GuestReport
    console: bytes
    touched: ExtentSet
    changed: ExtentSet
    withdrawn: ExtentSet
    touched_withdrawn: ExtentSet
    late: ExtentSet
    touched_late: ExtentSet
    firmware_map: MemoryMap
    expected: tuple[Finding, ...] = ()
    seconds: float
    died: str = ""
    memory: tuple[GuestRam, GuestRam] | None = None


def findings_of_pair(
    running: KernelFile, hop: Hop, following: KernelFile, cmdline: bytes
) -> tuple[Finding, ...]:
    """Return what is to be expected of a kexec from one kernel to the next.

    ``hop`` is what was seen of the one that runs, ``cmdline`` the next one's.
    """
    flags = hop.report.text("cpu_flags").split()
    started_by = RunningKernel(
        profile=known_profile(running), has_five_levels="la57" in flags
    )
    line, profile = cmdline.decode("latin-1"), known_profile(following)
    return tuple(findings_of_start(started_by, profile, following.image, line))


def hop_of(facts: HopFacts) -> Hop:
    """Return the hop.

    Raises:
        LabError: the guest did not send its zero page.
        BadImageError: a part of its report is not what a kernel writes.
    """
    seen = seen_handoff(facts)
    text = facts.console.decode("utf-8", "replace")
    view = view_of_machine(seen, text, facts.report, touched_pages(facts))
    given, profile = _given(facts), known_profile(facts.kernel)
    differences: tuple[Difference, ...] = ()
    verdict = None
    if given is not None and profile is not None:
        deposits = facts.started.bound.handoff.ledger.extents
        notes = (*facts.expected, *_segments(facts, deposits, given.kho_scratch))
        verdict = judge_input(deposits, given, profile, notes)
        verdict = replace(verdict, kernel=facts.kernel.name)
        reading = diff(model_of_boot(given, profile, view), view)
        model = [row for part in (given.table, *given.ext) for row in part.tolist()]
        differences = (*row_differences(model, seen_rows(seen, facts)), *reading)
    return Hop(
        kernel=facts.kernel.name,
        entered=facts.entered,
        given=facts.started.bound.handoff.ledger,
        nr_entries=len(seen_rows(seen, facts)),
        view=view,
        model=verdict.view if verdict else None,
        predicted=verdict,
        differences=differences,
        rebuilt=_rebuilt(facts, view),
        withdrawn=facts.withdrawn,
        used_again=facts.touched_withdrawn,
        late=facts.late,
        touched_late=facts.touched_late,
        report=facts.report,
        console=facts.console,
        seconds=facts.seconds,
    )


def touched_pages(facts: HopFacts) -> TouchedPages:
    """Return what the kernel touched, in the form that its view takes."""
    return TouchedPages(
        all=facts.touched, deposits=facts.touched, changed=facts.changed
    )


def seen_handoff(facts: HopFacts) -> Handoff:
    """Return the zero page that this kernel exports, as it was handed over.

    Raises:
        LabError: it exports none.
    """
    frame = facts.report.frames.get("boot_params")
    if frame is None:
        raise LabError(f"{facts.kernel.name} exports no boot_params")
    page = parse_boot_params(frame)
    if facts.entered in {"boot", "ours"}:
        return replace(facts.started.bound.handoff, boot_params=page)
    return Handoff(
        boot_params=page,
        boot_params_addr=0,
        cmdline=facts.started.bound.handoff.cmdline,
        ledger=facts.started.bound.handoff.ledger,
    )


def seen_rows(seen: Handoff, facts: HopFacts) -> list[Row]:
    """Return the entries of the zero page and of SETUP_E820_EXT, as handed over."""
    rows: list[Row] = seen.boot_params.e820_map.tolist()
    for kind, data in facts.report.setup_data():
        if kind == SETUP_E820_EXT:
            whole = len(data) - len(data) % E820_ENTRY_BYTES
            rows += parse_table(data[:whole]).tolist()
    return rows


# What this kernel was to read; None where its loader cannot be followed.
def _given(facts: HopFacts) -> BootInput | None:
    handoff = facts.started.bound.handoff
    if facts.entered in {"boot", "ours"}:
        return boot_input(handoff)
    if facts.entered == "kexec-load":
        handed = by_kexec_tools(handoff.table.rows())
    else:
        before = facts.before.model if facts.before else None
        from_file = None if before is None else by_kexec_file(before)
        if from_file is None:
            return None
        handed = from_file
    given = handed.boot_input(handoff.cmdline.decode("latin-1"))
    profile = known_profile(facts.kernel)
    # To any other the list of scratch areas is memory like the rest, and overwritten.
    if profile is not None and reads_kho(given, profile):
        given = with_handover(given, facts.report, facts.memory)
    # A loader hands nothing on of them: the next kernel asks ACPI itself.
    return replace(given, memory_devices=facts.firmware_map.devices)


def with_handover(
    given: BootInput, report: GuestReport, memory: tuple[GuestRam, GuestRam] | None
) -> BootInput:
    """Return ``given`` with the handover (KHO) that the kernel before has written.

    Its node names what lies in that kernel's memory. The list of scratch areas is a
    segment, and came to its place with the kernel that runs now (7.3
    kernel/liveupdate/kexec_handover.c kho_fill_kimage()).

    Args:
        given: what the kernel was to read.
        report: of the kernel that runs, which shows its nodes.
        memory: RAM as it is and as the kernel before left it; None where not kept.

    Raises:
        BadImageError: the node is damaged.
    """
    nodes = [data for kind, data in report.setup_data() if kind == SETUP_KEXEC_KHO]
    if not nodes or memory is None:
        return given
    now, left = memory
    areas = parse_value(KhoData, nodes[0], "SETUP_KEXEC_KHO").scratch_addr

    def read(addr: int, size: int) -> bytes:
        return (now if addr == areas else left).read(addr, size)

    handover = parse_kho_payload(0, nodes[0], read)
    return replace(
        given,
        kho_scratch=handover.scratch,
        kho_preserved=handover.preserved,
        kho_compatible=handover.compatible,
    )


# With a handover on they are put into its scratch areas and nowhere else (7.3
# kernel/liveupdate/kexec_handover.c kho_locate_mem_hole()); which those are, only a
# kernel that takes it over still shows.
def _segments(
    facts: HopFacts, deposits: ExtentSet, scratch: tuple[Span, ...]
) -> Iterator[Finding]:
    running = facts.before.model if facts.before else None
    if facts.entered not in BY_FILE or running is None or running.kexec_map is None:
        return
    nodes = {kind for kind, _ in facts.report.setup_data()}
    if SETUP_KEXEC_KHO in nodes:
        deposits &= ByteRangeSet(scratch).pages_touched()
    yield from findings_of_segments(file_load_of(deposits, running.kexec_map))


def row_differences(
    model: Sequence[Row], machine: Sequence[Row]
) -> tuple[Difference, ...]:
    """Return how a table that was handed over is another than the model's."""
    for at, (one, two) in enumerate(zip(model, machine, strict=False)):
        if one != two:
            field = f"handed-over[{at}]"
            return (Difference(field=field, one=str(one), other=str(two)),)
    if len(model) == len(machine):
        return ()
    lengths = f"{len(model)} rows", f"{len(machine)} rows"
    return (Difference(field="handed-over", one=lengths[0], other=lengths[1]),)


# As user space of this very kernel would: its table, and whatever carrier it finds.
def _rebuilt(facts: HopFacts, view: KernelView) -> RebuildResult | None:
    if not len(facts.started.bound.handoff.ledger):
        return None
    records = [d for kind, d in facts.report.setup_data() if kind == SETUP_E820POOL]
    if records:
        return rebuild(view, records[0], facts.firmware_map)
    if facts.region is not None:
        record = facts.report.frames.get(REGION_RECORD)
        return rebuild(view, record, facts.firmware_map, region=facts.region)
    return rebuild(view, None, facts.firmware_map)
