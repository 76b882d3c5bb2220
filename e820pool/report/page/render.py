"""Fill the page's templates."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from e820pool import __version__
from e820pool.compat.documents import VerdictDocument
from e820pool.findings import counted
from e820pool.report.chapters import HopDocument
from e820pool.report.explanations import explanations
from e820pool.report.page.context import finding_ids, shown
from e820pool.report.summary import pages_text
from e820pool.report.table import human_size
from e820pool.report.verdicts import judged_on_lines
from e820pool.report.zones import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.report.chapters import CellDocument, Chapter

__all__ = ("html_report",)

_SCRIPT = "page.js"
_SEVERAL = "What was found"


def html_report(chapters: Sequence[Chapter], *, title: str = "") -> str:
    """Return the page; the same chapters give the same bytes.

    Whatever a chapter says is escaped, and the page's own policy lets a browser run
    no script but the page's one and fetch nothing.
    """
    pages = _pages()
    sections = [shown(chapter) for chapter in chapters]
    script = _source(pages, _SCRIPT)
    ids = finding_ids(sections)
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
