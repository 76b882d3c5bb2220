"""The plan of a capture kernel, as text and as JSON."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from e820pool.compat.verdict import judged_on_value
from e820pool.findings import counted, finding_value
from e820pool.report.jsons import (
    deposit_values,
    document,
    extent_values,
    json_text,
)
from e820pool.report.verdicts import finding_line, judged_on_lines
from e820pool.report.view import mem_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.live.panic import PanicPlan

__all__ = ("panic_json", "panic_text")

_WIDTH = 13


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
        ("table", f"{plan.nr_entries} entries"),
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
    found = plan.verdict.findings
    if found:
        lines += ["", *(finding_line(one) for one in found)]
    lines += ["", *judged_on_lines([plan.verdict])]
    lines += [f"would be refused here: {one}" for one in obstacles]
    return "\n".join(lines)


def panic_json(plan: PanicPlan, obstacles: Sequence[str], done: str) -> str:
    """Return the JSON twin, kind ``panic-plan``.

    ``done`` says how far it came: ``planned``, ``refused``, ``loaded``.
    """
    return json_text(
        document(
            "panic-plan",
            done=done,
            kernel=plan.request.kernel.name,
            release=plan.release,
            cmdline=plan.request.cmdline.decode("latin-1"),
            verdict=plan.verdict.verdict,
            findings=[finding_value(one) for one in plan.verdict.findings],
            judged_on=judged_on_value(plan.verdict.judged_on),
            obstacles=list(obstacles),
            crash_memory=[[start, end - start] for start, end in plan.own],
            nr_entries=plan.nr_entries,
            extents=extent_values(plan.ledger.extents),
            deposits=deposit_values(plan.ledger),
            dumped=extent_values(plan.dumped.pages_touched()),
            load=list(plan.load),
        )
    )
