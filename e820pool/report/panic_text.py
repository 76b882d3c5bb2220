"""The plan of a capture kernel, as text and as JSON."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from e820pool.documents import Count, FindingDocument, Pair, document_text
from e820pool.extents import ExtentSet
from e820pool.findings import counted
from e820pool.report.kexec_text import PlanDocument
from e820pool.report.verdicts import finding_line, judged_on_lines
from e820pool.report.view import mem_range
from e820pool.sources.manifest import DepositDocument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.live.panic import PanicPlan

__all__ = ("PanicPlanDocument", "panic_json", "panic_text")

_WIDTH = 13


class PanicPlanDocument(PlanDocument, frozen=True, kw_only=True, tag="panic-plan"):
    """A capture kernel: ``crash_memory`` is its own, ``dumped`` what it would read."""

    crash_memory: tuple[Pair, ...]
    nr_entries: Count
    extents: ExtentSet
    deposits: tuple[DepositDocument, ...]
    dumped: ExtentSet
    load: tuple[str, ...]


def panic_text(plan: PanicPlan, obstacles: Sequence[str] = ()) -> str:
    """Return the verdict, what the dump holds, and the command.

    ``obstacles`` are the reasons why this machine would not load it.
    """
    deposits = plan.ledger.extents
    dumped = plan.dumped.pages_touched()
    nr_read = (dumped & deposits).nr_pages
    own = ", ".join(mem_range(start, end - start) for start, end in plan.own)
    facts = [
        ("kernel", f"{plan.request.kernel.name} ({plan.release or 'no version'})"),
        ("verdict", plan.verdict.verdict),
        ("runs in", own),
        ("table", counted(plan.nr_entries, "entry")),
        (
            "deposited",
            (
                f"{counted(deposits.nr_pages, 'page')} in "
                f"{counted(len(deposits), 'extent')}"
            ),
        ),
        (
            "dump",
            f"{counted(dumped.nr_pages, 'page')} of RAM, {nr_read} of them deposited",
        ),
        ("command line", plan.request.cmdline.decode("utf-8", "replace") or "-"),
    ]
    lines = [f"{name:{_WIDTH}} {value}" for name, value in facts]
    lines += ["", f"load   {shlex.join(plan.load)}"]
    findings = plan.verdict.findings
    if findings:
        lines += ["", *(finding_line(finding) for finding in findings)]
    lines += ["", *judged_on_lines([plan.verdict])]
    lines += [f"would be refused here: {obstacle}" for obstacle in obstacles]
    return "\n".join(lines)


def panic_json(plan: PanicPlan, obstacles: Sequence[str], done: str) -> str:
    """Return the JSON twin, kind ``panic-plan``.

    ``done`` says how far it came: ``planned``, ``refused``, ``loaded``.
    """
    return document_text(
        PanicPlanDocument(
            done=done,
            kernel=plan.request.kernel.name,
            release=plan.release,
            cmdline=plan.request.cmdline.decode("latin-1"),
            verdict=plan.verdict.verdict,
            findings=FindingDocument.all_of(plan.verdict.findings),
            judged_on=plan.verdict.judged_on,
            obstacles=tuple(obstacles),
            crash_memory=tuple((start, end - start) for start, end in plan.own),
            nr_entries=plan.nr_entries,
            extents=plan.ledger.extents,
            deposits=DepositDocument.all_of(plan.ledger),
            dumped=plan.dumped.pages_touched(),
            load=plan.load,
        )
    )
