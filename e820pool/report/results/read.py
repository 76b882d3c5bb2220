"""Tell the kind of a JSON result and read it as a chapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.report.results.chain import chain_chapter
from e820pool.report.results.comparison import comparison_chapter
from e820pool.report.results.exhaustion import exhaustion_chapter
from e820pool.report.results.judged import verdicts_chapter
from e820pool.sources.json_fields import Fields
from e820pool.sources.json_text import one_line, parse_kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.report.results.model import Chapter

__all__ = ("KINDS", "read_result")

_READERS: dict[str, Callable[[Fields, str], Chapter]] = {
    "verdicts": verdicts_chapter,
    "comparison": comparison_chapter,
    "exhaustion": exhaustion_chapter,
    "chain": chain_chapter,
}

KINDS = {
    "verdicts": "'check'",
    "comparison": "'compare'",
    "exhaustion": "'stress'",
    "chain": "'chain'",
}
"""Of a JSON result, and the command whose ``--format json`` makes it."""


def read_result(text: str, origin: str) -> Chapter:
    """Return the chapter of a JSON document.

    Raises:
        BadImageError: it is none of these, or not as those commands write it.
    """
    kind, found = parse_kinds(text, KINDS, origin)
    fields = Fields(values=found, where=repr(origin))
    return _READERS[kind](fields, one_line(origin))
