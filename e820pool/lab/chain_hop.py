"""From what one kernel of a chain left to its Hop: table, pages, pool, prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from e820pool.abi.binding import parse_value
from e820pool.abi.boot_params import parse_boot_params
from e820pool.abi.bzimage import parse_bzimage
from e820pool.abi.e820 import (
    E820_ENTRY_BYTES,
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    parse_table,
)
from e820pool.abi.kho import parse_kho_payload
from e820pool.abi.pool_record import SETUP_E820POOL
from e820pool.abi.setup_data import SETUP_E820_EXT, SETUP_KEXEC_KHO, KhoData
from e820pool.compat import Difference, diff, judge_input, model_of_boot
from e820pool.compat.capture_kernel import (
    findings_of_dump,
    findings_of_handed_over,
    of_capture_kernel,
)
from e820pool.compat.file_load import file_load_of, findings_of_segments
from e820pool.compat.paging import RunningKernel, findings_of_start
from e820pool.compat.verdict import verdict_of
from e820pool.errors import LabError
from e820pool.extents import ByteRangeSet, ExtentSet, Span
from e820pool.findings import Finding, counted
from e820pool.handoff.model import Handoff
from e820pool.kernel.boot_input import BootInput, boot_input
from e820pool.kernel.setup_data_nodes import reads_kho
from e820pool.kernel.view import KernelView
from e820pool.lab.chain_model import BY_FILE, Dump, Hop
from e820pool.lab.machine_view import TouchedPages, view_of_machine
from e820pool.loading.capture import (
    capture_by_file,
    capture_by_tools,
    capture_window,
    crash_ranges,
    dumped_by_file,
    dumped_by_tools,
)
from e820pool.loading.kernel_file import KernelFile, known_profile
from e820pool.loading.kexec_loaders import HandedOver, by_kexec_file, by_kexec_tools
from e820pool.pool.rebuild import RebuildResult, rebuild
from e820pool.sources.elf_core import dumped_ranges
from e820pool.sources.iomem import named_ranges
from e820pool.sources.kernel_console import read_console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e820pool.lab.chain_port import NextKernel
    from e820pool.lab.guest_ram import GuestRam
    from e820pool.lab.guest_report import GuestReport
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.option import PmpoolOption
    from e820pool.range_lists import Row

__all__ = (
    "REGION_RECORD",
    "HopFacts",
    "capture_hop_of",
    "findings_of_pair",
    "hop_of",
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
    seen = _seen_handoff(facts)
    text = facts.console.decode("utf-8", "replace")
    view = view_of_machine(seen, text, facts.report, _touched_pages(facts))
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
        differences = (*_row_differences(model, _seen_rows(seen, facts)), *reading)
    return Hop(
        kernel=facts.kernel.name,
        entered=facts.entered,
        given=facts.started.bound.handoff.ledger,
        nr_entries=len(_seen_rows(seen, facts)),
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


def _touched_pages(facts: HopFacts) -> TouchedPages:
    return TouchedPages(
        all=facts.touched, deposits=facts.touched, changed=facts.changed
    )


# The zero page that this kernel exports, as it was handed over.
def _seen_handoff(facts: HopFacts) -> Handoff:
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


# The entries of the zero page and of SETUP_E820_EXT, as handed over.
def _seen_rows(seen: Handoff, facts: HopFacts) -> list[Row]:
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


# How a table that was handed over is another than the model's.
def _row_differences(
    model: Sequence[Row], machine: Sequence[Row]
) -> tuple[Difference, ...]:
    for at, (modelled, printed) in enumerate(zip(model, machine, strict=False)):
        if modelled != printed:
            field = f"handed-over[{at}]"
            return (Difference(field=field, model=str(modelled), machine=str(printed)),)
    if len(model) == len(machine):
        return ()
    lengths = f"{len(model)} rows", f"{len(machine)} rows"
    return (Difference(field="handed-over", model=lengths[0], machine=lengths[1]),)


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


# The kernel that crashes goes on writing to the console up to its last word.
_FIRST_WORDS = b"Linux version "


def capture_hop_of(facts: HopFacts) -> Hop:
    """Return the hop of a capture kernel, whether it lived or died.

    What it is given is modelled from /proc/iomem of the kernel that crashed, or from
    the text of ours that kexec-tools read in its place.

    Raises:
        LabError: the guest did not send its zero page.
        BadImageError: a part of its report is not what a kernel writes.
    """
    ranges = _ranges_before(facts)
    own = crash_ranges(ranges)
    handed: HandedOver | None = None
    if facts.entered != "panic-file":
        handed = capture_by_tools(ranges)
        crash = facts.started.crash
        dumped = dumped_by_tools(ranges, 0 if crash is None else crash.text_bytes)
    else:
        dumped = dumped_by_file(ranges)
        starter = known_profile(facts.starter) if facts.starter is not None else None
        if starter is not None:
            handed = capture_by_file(ranges, starter)
    view, rows = _view_and_rows(facts)
    dump = _dump(facts, dumped)
    differences: list[Difference] = []
    # The machine's own rows: where headers lie in the crash kernel's RAM is its own.
    given_rows: Sequence[Row] | None = rows
    if facts.died:
        given_rows = None if handed is None else [*handed.table, *handed.ext]
    elif handed is not None:
        whole = _whole_crash_ram(rows, own)
        differences += _row_differences([*handed.table, *handed.ext], whole)
    verdict = None
    profile = known_profile(facts.kernel)
    if profile is not None and given_rows is not None:
        given = _captured_input(given_rows, facts, own)
        differences += diff(model_of_boot(given, profile, view), view)
        deposits = facts.started.bound.handoff.ledger.extents
        judged = judge_input(deposits, given, profile)
        findings = of_capture_kernel(judged.findings)
        findings += findings_of_handed_over(handed) if handed is not None else ()
        findings += findings_of_dump(deposits, dumped)
        verdict = verdict_of(facts.kernel.name, findings, judged.view, judged.judged_on)
    if not facts.died:
        differences += _dump_differences(facts, dump)
    return Hop(
        kernel=facts.kernel.name,
        entered=facts.entered,
        given=facts.started.bound.handoff.ledger,
        nr_entries=len(rows),
        view=view,
        model=verdict.view if verdict else None,
        predicted=verdict,
        differences=tuple(differences),
        rebuilt=None,
        dump=dump,
        report=facts.report,
        console=facts.console,
        seconds=facts.seconds,
    )


def _ranges_before(facts: HopFacts) -> list[tuple[int, int, str]]:
    crash, before = facts.started.crash, facts.before
    if crash is not None:
        return named_ranges(crash.iomem)
    return named_ranges("" if before is None else before.report.text("iomem"))


# The kernel works in the memory that is kept for it.
def _captured_input(
    rows: Sequence[Row], facts: HopFacts, own: Sequence[Span]
) -> BootInput:
    limit = E820_MAX_ENTRIES_ZEROPAGE
    handed = HandedOver(table=tuple(rows[:limit]), ext=tuple(rows[limit:]))
    given = handed.boot_input(facts.started.bound.handoff.cmdline.decode("latin-1"))
    window = capture_window(own, parse_bzimage(facts.started.image).init_size)
    devices = facts.firmware_map.devices
    return replace(given, load_window=window, memory_devices=devices)


def _view_and_rows(facts: HopFacts) -> tuple[KernelView, list[Row]]:
    _, mark, after = facts.console.partition(_FIRST_WORDS)
    text = (mark + after).decode("utf-8", "replace")
    if not facts.died:
        seen = _seen_handoff(facts)
        view = view_of_machine(seen, text, facts.report, _touched_pages(facts))
        return view, _seen_rows(seen, facts)
    console = read_console(text)
    view = KernelView(
        kernel=console.kernel or facts.kernel.name,
        engine="machine",
        map_source=console.map_source or "BIOS-e820",
        bios_map=console.bios_map or (),
        extended_map=console.extended_map,
        user_map=console.user_map,
        memory=console.memory,
        fatal=console.fatal or facts.died,
        touched=facts.touched,
        touched_deposits=facts.touched,
    )
    return view, list(view.bios_map)


# RAM within what is kept for the crash kernel, as one row for each such range: the
# loaders leave out pages with headers and copies.
def _whole_crash_ram(rows: Sequence[Row], own: Sequence[Span]) -> list[Row]:
    whole: list[Row] = []
    for addr, size, kind in rows:
        around = [(s, e) for s, e in own if s <= addr and addr + size <= e]
        row = (addr, size, kind)
        if around and kind == E820_TYPE_RAM:
            start, end = around[0]
            row = (start, end - start, kind)
        if row not in whole:
            whole.append(row)
    return whole


def _dump(facts: HopFacts, expected: ByteRangeSet) -> Dump:
    headers = facts.report.frames.get("vmcore_headers", b"")
    size = facts.report.text("vmcore_size").strip()
    return Dump(
        held=dumped_ranges(headers) if headers else ByteRangeSet(),
        expected=expected,
        nr_bytes=int(size) if size.isdigit() else 0,
    )


# Whole pages: a run that ends within one is read to the page's end. The kernel's own
# text has a header of its own, and lies in RAM all the same.
def _dump_differences(facts: HopFacts, dump: Dump) -> list[Difference]:
    model, machine = dump.expected.pages_touched(), dump.held.pages_touched()
    differences = []
    if model != machine:
        extra, missing = machine - model, model - machine
        differences.append(
            Difference(
                field="dump",
                model=f"{missing.nr_pages} more pages {tuple(missing)[:4]}",
                machine=f"{extra.nr_pages} more pages {tuple(extra)[:4]}",
            )
        )
    deposits = facts.started.bound.handoff.ledger.extents
    if deposits & model != facts.touched:
        differences.append(
            Difference(
                field="touched",
                model=counted((deposits & model).nr_pages, "page"),
                machine=counted(facts.touched.nr_pages, "page"),
            )
        )
    return differences
