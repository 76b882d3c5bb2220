"""A report as one page of HTML that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache, singledispatch
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from e820pool import __version__
from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.errors import InputError
from e820pool.findings import counted
from e820pool.report.chapters import (
    ChainDocument,
    ComparisonDocument,
    ExhaustionDocument,
    HandoffChapter,
    HopDocument,
    VerdictsDocument,
)
from e820pool.report.compare import costs_of, loaders_of
from e820pool.report.explanations import explanations
from e820pool.report.map_table import human_size
from e820pool.report.page.curves import charts_of
from e820pool.report.page.maps import (
    NO_ENTRY,
    extent_layer,
    ledger_layer,
    map_layer,
    segments,
    views_of,
)
from e820pool.report.summary import (
    findings_of_comparison,
    findings_of_judged,
    heading,
    pages_text,
    summary,
)
from e820pool.report.verdicts import judged_on_lines
from e820pool.report.zones import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.memory_map import MemoryMap
    from e820pool.report.chapters import CellDocument, Chapter, Content
    from e820pool.report.compare import EncodingCost
    from e820pool.report.page.curves import Chart
    from e820pool.report.page.maps import Layer, View
    from e820pool.report.summary import GroupedFinding


__all__ = ("MapRow", "MapShown", "Shown", "html_report")

_SCRIPT = "page.js"
_SEVERAL = "What was found"


def html_report(chapters: Sequence[Chapter], *, title: str = "") -> str:
    """Return the page; the same chapters give the same bytes.

    Whatever a chapter says is escaped, and the page's own policy lets a browser run
    no script but the page's one and fetch nothing.
    """
    pages = _pages()
    sections = [_shown(chapter) for chapter in chapters]
    script = _source(pages, _SCRIPT)
    ids = _finding_ids(sections)
    return pages.get_template("page.html").render(
        title=title or (sections[0].heading if len(sections) == 1 else _SEVERAL),
        chapters=sections,
        explained={key: text for key, text in explanations().items() if key in ids},
        script=Markup(script),  # noqa: S704  our own
        script_digest=_digest(script),
        looks=[(look.name.lower(), label) for look, label in LABELS.items()],
        version=__version__,
    )


@cache
def _pages() -> Environment:
    pages = Environment(
        loader=PackageLoader("e820pool.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters.update(size=human_size, pages=pages_text)
    pages.globals.update(counted=counted, judged_on=_judged_on)
    return pages


# Of what has a verdict: a kernel's row, a cell, or a hop of a chain.
def _judged_on(
    rows: Sequence[VerdictDocument | CellDocument | HopDocument],
) -> list[str]:
    verdicts = (_verdict_of(row) for row in rows)
    return judged_on_lines([verdict for verdict in verdicts if verdict is not None])


def _verdict_of(
    row: VerdictDocument | CellDocument | HopDocument,
) -> VerdictDocument | None:
    if isinstance(row, VerdictDocument):
        return row
    return row.predicted if isinstance(row, HopDocument) else row.verdict


def _source(pages: Environment, name: str) -> str:
    loader = pages.loader
    assert loader is not None  # noqa: S101  for the type checker
    return loader.get_source(pages, name)[0]


# As a policy names an inline script: by what stands between its tags.
def _digest(script: str) -> str:
    raw = hashlib.sha256(script.encode()).digest()
    return base64.b64encode(raw).decode("ascii")


_Map = tuple["MemoryMap", "Sequence[str]"]

# A kernel's largest table and all deposits in it; what has more is told so.
_ROWS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRow:
    """A row of the table of ranges."""

    first: str
    last: str
    size: str
    before: str
    after: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapShown:
    """A drawn map, or the reason why there is none.

    Attributes:
        names: of the two maps, for column heads; the first is "" where there is one.
        nr_left_out: rows that the table does not have.
    """

    names: tuple[str, str]
    views: tuple[View, ...] = ()
    rows: tuple[MapRow, ...] = ()
    nr_left_out: int = 0
    nr_deposits: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chapter with its words and drawings.

    Attributes:
        kind: names its template.
        findings: each different one once, with those that it is for.
    """

    kind: str
    heading: str
    summary: str
    content: Content
    map: MapShown | None = None
    charts: tuple[Chart, ...] = ()
    costs: tuple[EncodingCost, ...] = ()
    loaders: tuple[str, ...] = ()
    findings: tuple[GroupedFinding, ...] = ()


def _finding_ids(shown_chapters: Sequence[Shown]) -> set[str]:
    ids = {finding.id for chapter in shown_chapters for finding, _ in chapter.findings}
    for chapter in shown_chapters:
        if isinstance(chapter.content, ChainDocument):
            for hop in chapter.content.hops:
                ids |= {finding.id for finding in hop.findings}
    return ids


def _shown(chapter: Chapter) -> Shown:
    return Shown(
        kind=_TEMPLATES[type(chapter.content)],
        heading=heading(chapter),
        summary=summary(chapter.content),
        content=chapter.content,
        **_parts(chapter.content),
    )


_TEMPLATES = {
    HandoffChapter: "handoff",
    VerdictsDocument: "verdicts",
    ComparisonDocument: "comparison",
    ExhaustionDocument: "exhaustion",
    ChainDocument: "chain",
}


@singledispatch
def _parts(content: Content) -> dict[str, Any]:
    raise TypeError(type(content).__name__)


@_parts.register
def _(content: HandoffChapter) -> dict[str, Any]:
    firmware = content.before
    before = None if firmware is None else (firmware, _numbered(firmware, "firmware"))
    drawn = _drawn(
        before,
        (content.after, content.sources),
        ledger_layer(content.ledger),
        ("before", "after"),
    )
    return {"map": drawn, "findings": tuple(findings_of_judged(content.verdicts))}


@_parts.register
def _(content: VerdictsDocument) -> dict[str, Any]:
    return {"findings": tuple(findings_of_judged(content.verdicts))}


@_parts.register
def _(content: ComparisonDocument) -> dict[str, Any]:
    return {
        "costs": costs_of(content, loaders_of(content)),
        "loaders": loaders_of(content),
        "findings": tuple(findings_of_comparison(content)),
    }


@_parts.register
def _(content: ExhaustionDocument) -> dict[str, Any]:
    return {"charts": charts_of(content)}


@_parts.register
def _(content: ChainDocument) -> dict[str, Any]:
    first, last = content.hops[0], content.hops[-1]
    drawn = _drawn(
        (first.memory_map, _numbered(first.memory_map, first.kernel)),
        (last.memory_map, _numbered(last.memory_map, last.kernel)),
        extent_layer(last.deposits),
        ("first kernel", "last kernel"),
    )
    return {"map": drawn}


def _numbered(memory_map: MemoryMap, name: str) -> tuple[str, ...]:
    return tuple(f"{name} entry {at}" for at in range(len(memory_map)))


def _drawn(
    before: _Map | None, after: _Map, deposits: Layer, names: tuple[str, str]
) -> MapShown:
    try:
        views = views_of(before, after, deposits, names)
        rows = _rows(before, after, deposits)
    except InputError as exc:
        return MapShown(names=names, reason=str(exc))
    return MapShown(
        names=names if before is not None else ("", names[1]),
        views=views,
        rows=tuple(rows[:_ROWS]),
        nr_left_out=max(len(rows) - _ROWS, 0),
        nr_deposits=len(deposits.words),
    )


def _rows(before: _Map | None, after: _Map, deposits: Layer) -> list[MapRow]:
    layers = [map_layer(*after), deposits]
    if before is not None:
        layers.append(map_layer(*before))
    rows = []
    for start, end, (at, on_top, *was) in segments(layers):
        words = [_word(layers[0], at)]
        sources = [layers[0].sources[at]] if at >= 0 else []
        if on_top >= 0:
            words.append(deposits.words[on_top])
            sources.append(deposits.sources[on_top])
        if was and was[0] >= 0:
            sources.append(layers[2].sources[was[0]])
        rows.append(
            MapRow(
                first=f"{start:#x}",
                last=f"{end - 1:#x}",
                size=human_size(end - start),
                before=_word(layers[2], was[0]) if was else "",
                after=", ".join(words),
                source=", ".join(sources),
            )
        )
    return rows


def _word(layer: Layer, at: int) -> str:
    return layer.words[at] if at >= 0 else NO_ENTRY
