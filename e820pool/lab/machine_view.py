"""From what a machine left to the KernelView of its kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.errors import BadImageError
from e820pool.extents import ExtentSet, Span
from e820pool.findings import Finding
from e820pool.kernel.view import KernelView
from e820pool.sources.iomem import read_iomem
from e820pool.sources.kernel_console import ConsoleFacts, read_console
from e820pool.type_words import TYPE_WITHOUT_NUMBER as _NO_TYPE
from e820pool.type_words import type_of_resource

if TYPE_CHECKING:
    from e820pool.handoff.model import Handoff
    from e820pool.lab.guest_report import GuestReport
    from e820pool.range_lists import Row

__all__ = ("SeenBoot", "TouchedPages", "view_of_console", "view_of_machine")

_KERNEL_PART = re.compile(r"^ +([0-9a-f]+)-([0-9a-f]+) : Kernel \w+", re.MULTILINE)
_RELEASE = re.compile(r"Linux version (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchedPages:
    """Pages that a guest touched, by its RAM file.

    Attributes:
        all: pages that the kernel ever read or wrote.
        deposits: those of them that are deposited.
        changed: deposited pages whose content is not what it was.
        pattern: whether deposits held a pattern, so that only changes are seen.
    """

    all: ExtentSet
    deposits: ExtentSet
    changed: ExtentSet
    pattern: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBoot:
    """A boot of which only the console was kept, with the handoff it was given."""

    handoff: Handoff
    view: KernelView


def view_of_console(handoff: Handoff, text: str) -> KernelView:
    """Return the view that a saved console log gives, with no machine at hand.

    Raises:
        BadImageError: the log shows no map and no reason for a boot to end.
    """
    facts = read_console(text)
    if facts.bios_map is None and facts.fatal is None and not facts.memory:
        raise BadImageError(
            f"console of {len(text):#x} characters shows no memory map of a kernel"
        )
    return _view(handoff, facts, None, None)


def view_of_machine(
    handoff: Handoff, console: str, report: GuestReport, touched: TouchedPages
) -> KernelView:
    """Return the view of a kernel that was booted with this handoff.

    Raises:
        BadImageError: a part of the report is not what the kernel writes.
    """
    return _view(handoff, read_console(console), report, touched)


def _view(
    handoff: Handoff,
    facts: ConsoleFacts,
    report: GuestReport | None,
    touched: TouchedPages | None,
) -> KernelView:
    release, parts, iomem, memmap = None, [], None, None
    if report is not None:
        release = _RELEASE.search(report.text("version"))
        memmap = report.firmware_memmap()
        if "iomem" in report.frames:
            iomem = report.text("iomem")
            parts = _KERNEL_PART.findall(iomem)
    firmware: tuple[Row, ...] | None = None
    if memmap is not None:
        firmware = tuple((addr, size, _type_of(name)) for addr, size, name in memmap)
    extended = facts.extended_map
    if facts.lost_messages and extended is not None and firmware is not None:
        # If the map is long, its first messages are overwritten before the console is
        # registered; this shows the table as it was after SETUP_E820_EXT.
        extended = firmware
    if iomem is not None:
        table = tuple(read_iomem(iomem, origin="/proc/iomem").rows())
    else:
        # The last table that was printed is the nearest to the final one.
        printed = (facts.user_map, facts.setup_data_map, facts.extended_map)
        tables = (rows for rows in printed if rows is not None)
        table = next(tables, facts.bios_map or ())
    # The kernel names a range only; the type is what the handoff says of it.
    types = {(addr, size): kind for addr, size, kind in handoff.table.rows()}
    image = [int(number, 16) for part in parts for number in part]
    ended = report is not None and report.is_complete
    return KernelView(
        kernel=facts.kernel or (release[1] if release else "unknown"),
        engine="machine",
        map_source=facts.map_source or "BIOS-e820",
        bios_map=facts.bios_map or (),
        extended_map=extended,
        setup_data_map=facts.setup_data_map,
        user_map=facts.user_map,
        table=table,
        memory=facts.memory,
        firmware_map=firmware,
        dropped=tuple(
            (span.start, span.size, types.get((span.start, span.size), _NO_TYPE))
            for span in facts.ignored
        ),
        warnings=facts.warnings,
        fatal=None if ended else facts.fatal,
        end=None if ended else facts.end,
        kernel_range=facts.kernel_range
        or (Span(min(image), max(image) + 1) if image else None),
        load_window=handoff.kernel_window,
        touched=touched.all if touched else None,
        touched_deposits=touched.deposits if touched else None,
        findings=_findings(touched),
    )


def _type_of(name: str) -> int:
    kind = type_of_resource(name)
    return _NO_TYPE if kind is None else kind


def _findings(touched: TouchedPages | None) -> tuple[Finding, ...]:
    if touched is None or not touched.deposits:
        return ()
    start, end = next(iter(touched.deposits))
    seen = "changed" if touched.pattern else "read or written"
    message = (
        f"{touched.deposits.nr_pages} deposited pages were {seen}, "
        f"{touched.changed.nr_pages} of them hold other contents now; the first is "
        f"PFN {start:#x}"
    )
    return (
        Finding(
            id="touched-how",
            level="note",
            message=message,
            extents=((start, end),),
            source="lab: guest RAM file",
        ),
    )
