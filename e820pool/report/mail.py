"""A report as plain text, to be pasted into a reply on a mailing list."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import singledispatch
from typing import TYPE_CHECKING

from e820pool import __version__
from e820pool.documents import printable
from e820pool.errors import InputError
from e820pool.extents import PAGE_SHIFT
from e820pool.findings import counted
from e820pool.report.chapters import (
    WORDS,
    ChainDocument,
    ComparisonDocument,
    ExhaustionDocument,
    HandoffChapter,
    VerdictsDocument,
)
from e820pool.report.columns import columns
from e820pool.report.compare import cost_table, loaders_of
from e820pool.report.map_table import human_size
from e820pool.report.picture import picture
from e820pool.report.summary import (
    curve_sentence,
    findings_of_comparison,
    findings_of_judged,
    heading,
    pages_text,
    summary,
)
from e820pool.report.verdicts import judged_on_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e820pool.compat import Difference
    from e820pool.compat.verdict_documents import VerdictDocument
    from e820pool.deposits import DepositLedger
    from e820pool.documents import FindingDocument
    from e820pool.extents import ExtentSet
    from e820pool.memory_map import MemoryMap
    from e820pool.report.chapters import (
        CellDocument,
        Chapter,
        Content,
        FallDocument,
        FallsDocument,
        HopDocument,
    )
    from e820pool.report.summary import GroupedFinding


__all__ = ("WIDTH", "mail_report", "table", "wrapped")

WIDTH = 72
"""Columns; a reply quotes them twice within 80."""

# A mail is read, not scrolled: the page has all of them.
_DEPOSITS = 24
# A matrix of seven kernels has to fit.
_SHORT = {
    "safe": "safe",
    "degraded": "degr",
    "unsafe": "BAD",
    "unknown": "?",
    "no handoff": "-",
    "lost": "lost",
}
_LEGEND = (
    "The model's verdict: safe, degr (degraded: RAM or the pool is lost), BAD "
    "(unsafe: a deposited page can be touched), ? (unknown), - (no handoff)."
)
_BOOTED_LEGEND = (
    f"{_LEGEND} Behind the slash: what the booted kernel did, and how many deposited "
    "pages it touched; * the model did not foresee it; lost: the machine was."
)
_LIMITS = ("memmap-cmdline", "zero-page", "table-320", "table-3200")


def mail_report(chapters: Sequence[Chapter], *, title: str = "") -> str:
    """Return ASCII lines of at most 72 columns; the same chapters give the same."""
    lines = wrapped(title) if title else []
    for chapter in chapters:
        lines += [*([""] * 2 if lines else []), *_headline(heading(chapter))]
        lines += ["", *wrapped(summary(chapter.content)), *_body(chapter.content)]
    end = "`e820pool explain ID` says what a finding means. Written by e820pool"
    lines += ["", *wrapped(f"{end} {__version__}.")]
    return "\n".join(lines) + "\n"


@singledispatch
def _body(content: Content) -> Iterator[str]:
    raise TypeError(type(content).__name__)


@_body.register
def _(content: HandoffChapter) -> Iterator[str]:
    before, after = content.before, content.after
    yield from _section("Map", _map_lines(before, after, content.ledger.extents))
    yield from _section("Deposits", _deposit_lines(content.ledger))
    yield from _verdicts(content.verdicts)
    yield from _section("Handed over", _part_lines(content))


@_body.register
def _(content: VerdictsDocument) -> Iterator[str]:
    yield from _verdicts(content.verdicts)


@_body.register
def _(content: ComparisonDocument) -> Iterator[str]:
    headers = ("encoding", *content.kernels)
    booted = any(cell.booted for cell in content.cells)
    rows = [
        [encoding.name, *map(_cell, content.row(encoding.name))]
        for encoding in content.encodings
    ]
    legend = wrapped(_BOOTED_LEGEND if booted else _LEGEND)
    judged_on = _judged_on([cell.verdict for cell in content.cells if cell.verdict])
    yield from _section(
        "Verdicts", [*legend, "", *table(headers, rows), "", *judged_on]
    )
    yield from _section("Costs, at most, and what is kept", _cost_lines(content))
    yield from _remarks(content)
    yield from _findings(findings_of_comparison(content))


@_body.register
def _(content: ExhaustionDocument) -> Iterator[str]:
    facts = (f"{name.replace('_', ' ')} {value}" for name, value in content.facts)
    yield from _section("Workload", wrapped(", ".join(facts)))
    yield from _section("Deposit call at which each limit falls", _fall_lines(content))
    sentences = (curve_sentence(run, content) for run in content.results)
    lines = (line for text in sentences for line in wrapped(text, "* "))
    yield from _section("In words", lines)
    yield from _section("Limits", _limit_lines(content))


@_body.register
def _(content: ChainDocument) -> Iterator[str]:
    carried = f"loaders: {', '.join(content.loaders)}; record by {content.carrier}"
    hops = [
        line for at, hop in enumerate(content.hops) for line in _hop_lines(at + 1, hop)
    ]
    judged_on = _judged_on([hop.predicted for hop in content.hops if hop.predicted])
    yield from _section("Timeline", [*wrapped(carried), *hops, *judged_on])
    first, last = content.hops[0], content.hops[-1]
    lines = _map_lines(first.memory_map, last.memory_map, last.deposits)
    yield from _section("Map, first kernel and last kernel", lines)


def _map_lines(
    before: MemoryMap | None, after: MemoryMap, deposits: ExtentSet
) -> list[str]:
    try:
        if before is None:
            drawn = picture(after, None, deposits, width=WIDTH, ascii_only=True)
        else:
            drawn = picture(before, after, deposits, width=WIDTH, ascii_only=True)
    except InputError as exc:
        return wrapped(f"no picture: {exc}")
    return drawn.rstrip("\n").split("\n")


def _deposit_lines(ledger: DepositLedger) -> Iterator[str]:
    for deposit in list(ledger)[:_DEPOSITS]:
        yield from wrapped(f"{deposit}, {human_size(deposit.nr_pages << PAGE_SHIFT)}")
    if len(ledger) > _DEPOSITS:
        yield f"and {len(ledger) - _DEPOSITS} more"


def _part_lines(content: HandoffChapter) -> Iterator[str]:
    for name, addr, size in content.parts:
        yield from wrapped(f"{name} at {addr:#x}, {human_size(size)}")
    yield from wrapped(f"encoding {content.encoding}")
    yield from wrapped(f"command line: {content.cmdline or 'empty'}", "", "    ")


def _verdicts(judged: Sequence[VerdictDocument]) -> Iterator[str]:
    yield from _section("Verdicts", _verdict_lines(judged))
    yield from _findings(findings_of_judged(judged))


def _findings(findings: Sequence[GroupedFinding]) -> Iterator[str]:
    if findings:
        yield from _section("Findings", _lines_of_findings(findings))


def _judged_on(verdicts: Sequence[VerdictDocument]) -> Iterator[str]:
    for line in judged_on_lines(verdicts):
        yield from wrapped(line)


def _cell(cell: CellDocument) -> str:
    if not cell.booted:
        return _SHORT[cell.word]
    unforeseen = "" if cell.is_foreseen else "*"
    words = f"{_SHORT[cell.word]}/{_SHORT[cell.booted.word]}"
    return f"{words} {cell.booted.nr_touched}{unforeseen}"


def _cost_lines(content: ComparisonDocument) -> list[str]:
    return table(*cost_table(content, loaders_of(content)))


def _remarks(content: ComparisonDocument) -> Iterator[str]:
    remarks = {
        "Model and machine differ": [
            (cell, why) for cell in content.cells for why in cell.disagreements
        ],
        "No handoff": [(cell, cell.reason) for cell in content.cells if cell.reason],
    }
    for title, pairs in remarks.items():
        lines = (
            line
            for cell, why in pairs
            for line in wrapped(f"{cell.encoding} on {cell.kernel}: {why}", "", "    ")
        )
        if pairs:
            yield from _section(title, lines)


def _fall_lines(content: ExhaustionDocument) -> list[str]:
    names = [limit.name for limit in content.limits if limit.name in _LIMITS]
    rows = [
        (band.host, band.policy, *(_falls(band.limits.get(name)) for name in names))
        for band in content.bands
        if band.answered
    ] or [
        (run.host, run.policy, *(_fall(run.fall_of(name)) for name in names))
        for run in content.results
        if not run.reason
    ]
    return table(("host", "policy", *names), rows, keys=2)


def _falls(falls: FallsDocument | None) -> str:
    if falls is None or not falls.fell:
        return "never"
    low, high = falls.call.low, falls.call.high or "never"
    return str(low) if low == high else f"{low}-{high}"


def _fall(fall: FallDocument | None) -> str:
    return "never" if fall is None else str(fall.call)


def _limit_lines(content: ExhaustionDocument) -> Iterator[str]:
    for limit in content.limits:
        text = f"{limit.name}, at most {limit.most} {limit.measure}: {limit.meaning}"
        yield from wrapped(text, "", "    ")
        yield from wrapped(f"source: {limit.source}", "    ", "            ")


def _hop_lines(number: int, hop: HopDocument) -> Iterator[str]:
    entered = "booted" if hop.entered == "boot" else f"by kexec ({hop.entered})"
    yield from wrapped(f"{number}. {hop.kernel}, {entered}, {hop.seconds:.0f} s")
    model = hop.predicted.verdict if hop.predicted else "unknown"
    pool: str = hop.pool_word
    if pool == "equal":
        pool += f" ({hop.pool_carrier})"
    facts = (
        f"{pages_text(hop.deposits.nr_pages)} deposited before, "
        f"{hop.touched_deposits.nr_pages} touched; {counted(hop.nr_entries, 'entry')}; "
        f"pool {pool}; model {model}; deposits {pages_text(hop.made.nr_pages)} itself"
    )
    yield from wrapped(facts, "   ")
    if hop.withdrawn:
        used = f"{hop.used_again.nr_pages} used again"
        yield from wrapped(
            f"{hop.withdrawn.nr_pages} withdrawn before it, {used}", "   "
        )
    if hop.late:
        touched = f"{hop.touched_late.nr_pages} touched"
        yield from wrapped(
            f"{hop.late.nr_pages} deposited after it was loaded, {touched}", "   "
        )
    yield from _difference_lines(hop.kernel, hop.differences)
    for finding in hop.findings:
        yield from _finding_lines(finding, hop.kernel)


# A line a verdict with the kernels that have it, and what was booted.
def _verdict_lines(judged: Sequence[VerdictDocument]) -> Iterator[str]:
    for word in reversed(WORDS):
        names = [verdict.kernel for verdict in judged if verdict.verdict == word]
        if names:
            yield from wrapped(", ".join(names), f"{word:<9} ")
    for verdict in judged:
        if verdict.machine:
            sides = f"model {verdict.model}, machine {verdict.machine}"
            yield from wrapped(f"{verdict.kernel}: booted: {sides}")
        yield from _difference_lines(verdict.kernel, verdict.differences or ())
    for line in judged_on_lines(judged):
        yield from wrapped(line, "", "    ")


def _difference_lines(kernel: str, differences: Iterable[Difference]) -> Iterator[str]:
    for difference in differences:
        text = f"{kernel}: model and machine differ in {difference.field}: "
        text += f"model {difference.model}; machine {difference.machine}"
        yield from wrapped(text, "", "    ")


# Different findings, each with those that it is for.
def _lines_of_findings(findings: Sequence[GroupedFinding]) -> Iterator[str]:
    for at, (finding, who) in enumerate(findings):
        yield from [""] if at else []
        yield from _finding_lines(finding, who)


def _finding_lines(finding: FindingDocument, who: str) -> Iterator[str]:
    yield from wrapped(f"[{finding.level}] {finding.id} ({who})", "", "    ")
    yield from wrapped(finding.message, "    ")
    if finding.source:
        yield from wrapped(f"source: {finding.source}", "    ", "            ")


# ASCII on one line; other letters are written as escapes.
def _plain(text: str) -> str:
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")


def wrapped(text: str, first: str = "", further: str | None = None) -> list[str]:
    """Return a text as lines; ``first`` and ``further`` stand before them."""
    return textwrap.wrap(
        _plain(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if further is None else further,
        break_on_hyphens=False,
    ) or [first.rstrip()]


# Underlined.
def _headline(text: str) -> list[str]:
    lines = wrapped(text)
    return [*lines, "=" * max(len(line) for line in lines)]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return ["", title, "-" * len(title), *lines]


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1
) -> list[str]:
    """Return a table; where it is too wide, several under each other.

    Args:
        headers: of the columns.
        rows: as many cells each.
        keys: so many first columns stand in each of the tables. A column that does
            not fit beside them has a paragraph a row instead.
    """
    cells = [[_plain(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(headers))]
    lines: list[str] = []
    for group in _groups(widths, keys):
        picked = [*range(keys), *group]
        shown = [[row[at] for at in picked] for row in cells]
        if _width(widths[at] for at in picked) <= WIDTH:
            block = columns(shown).split("\n")
        else:
            block = list(_paragraphs(shown[0], shown[1:]))
        lines += ["", *block] if lines else block
    return lines


def _groups(widths: Sequence[int], keys: int) -> Iterator[list[int]]:
    # As many columns as fit beside the keys.
    group: list[int] = []
    for at in range(keys, len(widths)):
        picked = [*range(keys), *group, at]
        if group and _width(widths[column] for column in picked) > WIDTH:
            yield group
            group = []
        group.append(at)
    yield group


# Two blanks stand between columns.
def _width(widths: Iterable[int]) -> int:
    return sum(width + 2 for width in widths) - 2


def _paragraphs(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield from wrapped(row[0])
        cells = (f"{head} {cell}" for head, cell in zip(headers, row, strict=True))
        yield from wrapped("; ".join(list(cells)[1:]), "    ")
