"""The hop to a capture kernel: what it is given, and what it reads of a crashed one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from e820pool.abi.bzimage import parse_bzimage
from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE, E820_TYPE_RAM
from e820pool.compat import Difference, Verdict, diff
from e820pool.compat.capture import (
    findings_of_dump,
    findings_of_handed_over,
    of_capture_kernel,
)
from e820pool.compat.judge import judge_input, model_of_boot
from e820pool.compat.verdict import verdict_of
from e820pool.extents import ByteRangeSet
from e820pool.findings import counted
from e820pool.kernel.view import KernelView, Row
from e820pool.lab.chain_hop import (
    HopFacts,
    row_differences,
    seen_handoff,
    seen_rows,
    touched_pages,
)
from e820pool.lab.chain_model import Dump, Hop
from e820pool.lab.machine_view import view_of_machine
from e820pool.loading.capture import (
    capture_by_file,
    capture_by_tools,
    capture_window,
    crash_ranges,
    dumped_by_file,
    dumped_by_tools,
)
from e820pool.loading.kernel_file import known_profile
from e820pool.loading.kexec_loaders import HandedOver
from e820pool.sources.console import read_console
from e820pool.sources.elf_core import dumped_ranges
from e820pool.sources.iomem import named_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile

__all__ = ("capture_hop_of",)

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
    if facts.started.crash is not None:
        iomem = facts.started.crash.iomem
    else:
        iomem = facts.before.report.text("iomem") if facts.before is not None else ""
    ranges = named_ranges(iomem)
    handed = _handed_over(ranges, facts)
    view, rows = _view_and_rows(facts)
    whole = [*handed.table, *handed.ext] if handed is not None else None
    differences: list[Difference] = []
    if whole is not None and not facts.died:
        differences += row_differences(whole, _whole_crash_ram(rows, ranges))
    # The machine's own rows: where headers lie in the crash kernel's RAM is its own.
    given_rows = whole if facts.died else rows
    verdict = None
    profile = known_profile(facts.kernel)
    if profile is not None and given_rows is not None:
        given = _given(given_rows, facts, ranges)
        differences += diff(model_of_boot(given, profile, view), view)
        verdict = _verdict(given, profile, handed, facts, ranges)
    return Hop(
        kernel=facts.kernel.name,
        entered=facts.entered,
        given=facts.started.bound.handoff.ledger,
        nr_entries=len(rows),
        view=view,
        model=verdict.view if verdict else None,
        predicted=verdict,
        differences=(*differences, *_dump_differences(facts, ranges)),
        rebuilt=None,
        dump=_dump(facts, ranges),
        report=facts.report,
        console=facts.console,
        seconds=facts.seconds,
    )


# The kernel works in the memory that is kept for it.
def _given(
    rows: Sequence[Row], facts: HopFacts, ranges: Sequence[tuple[int, int, str]]
) -> BootInput:
    limit = E820_MAX_ENTRIES_ZEROPAGE
    handed = HandedOver(table=tuple(rows[:limit]), ext=tuple(rows[limit:]))
    line = facts.started.bound.handoff.cmdline.decode("latin-1")
    size = parse_bzimage(facts.started.image).init_size
    window = capture_window(crash_ranges(ranges), size)
    given = handed.boot_input(line)
    devices = facts.firmware_map.devices
    return replace(given, load_window=window, memory_devices=devices)


def _verdict(
    given: BootInput,
    profile: Profile,
    handed: HandedOver | None,
    facts: HopFacts,
    ranges: Sequence[tuple[int, int, str]],
) -> Verdict:
    deposits = facts.started.bound.handoff.ledger.extents
    judged = judge_input(deposits, given, profile)
    found = of_capture_kernel(judged.findings)
    if handed is not None:
        found += findings_of_handed_over(handed)
    found += findings_of_dump(deposits, _expected(ranges, facts))
    return verdict_of(facts.kernel.name, found, judged.view, judged.judged_on)


def _handed_over(
    ranges: Sequence[tuple[int, int, str]], facts: HopFacts
) -> HandedOver | None:
    if facts.entered != "panic-file":
        return capture_by_tools(ranges)
    profile = known_profile(facts.starter) if facts.starter is not None else None
    return None if profile is None else capture_by_file(ranges, profile)


def _expected(ranges: Sequence[tuple[int, int, str]], facts: HopFacts) -> ByteRangeSet:
    if facts.entered == "panic-file":
        return dumped_by_file(ranges)
    crash = facts.started.crash
    return dumped_by_tools(ranges, 0 if crash is None else crash.text_bytes)


def _view_and_rows(facts: HopFacts) -> tuple[KernelView, list[Row]]:
    _, mark, after = facts.console.partition(_FIRST_WORDS)
    text = (mark + after).decode("utf-8", "replace")
    if not facts.died:
        seen = seen_handoff(facts)
        view = view_of_machine(seen, text, facts.report, touched_pages(facts))
        return view, seen_rows(seen, facts)
    told = read_console(text)
    view = KernelView(
        kernel=told.kernel or facts.kernel.name,
        engine="machine",
        map_source=told.map_source or "BIOS-e820",
        bios_map=told.bios_map or (),
        extended_map=told.extended_map,
        user_map=told.user_map,
        memory=told.memory,
        fatal=told.fatal or facts.died,
        touched=facts.touched,
        touched_deposits=facts.touched,
    )
    return view, list(view.bios_map)


# RAM within what is kept for the crash kernel, as one row for each such range: the
# loaders leave out pages with headers and copies.
def _whole_crash_ram(
    rows: Sequence[Row], ranges: Sequence[tuple[int, int, str]]
) -> list[Row]:
    own = crash_ranges(ranges)
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


def _dump(facts: HopFacts, ranges: Sequence[tuple[int, int, str]]) -> Dump:
    headers = facts.report.frames.get("vmcore_headers", b"")
    size = facts.report.text("vmcore_size").strip()
    return Dump(
        held=dumped_ranges(headers) if headers else ByteRangeSet(),
        expected=_expected(ranges, facts),
        nr_bytes=int(size) if size.isdigit() else 0,
    )


# Whole pages: a run that ends within one is read to the page's end. The kernel's own
# text has a header of its own, and lies in RAM all the same.
def _dump_differences(
    facts: HopFacts, ranges: Sequence[tuple[int, int, str]]
) -> list[Difference]:
    if facts.died:
        return []
    dump = _dump(facts, ranges)
    model, machine = dump.expected.pages_touched(), dump.held.pages_touched()
    found = []
    if model != machine:
        extra, missing = machine - model, model - machine
        found.append(
            Difference(
                field="dump",
                one=f"{missing.nr_pages} more pages {tuple(missing)[:4]}",
                other=f"{extra.nr_pages} more pages {tuple(extra)[:4]}",
            )
        )
    deposits = facts.started.bound.handoff.ledger.extents
    if deposits & model != facts.touched:
        found.append(
            Difference(
                field="touched",
                one=counted((deposits & model).nr_pages, "page"),
                other=counted(facts.touched.nr_pages, "page"),
            )
        )
    return found
