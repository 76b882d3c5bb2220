"""What each finding means: its cause, consequence, remedy and source as text."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from e820pool.documents import Document
from e820pool.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = (
    "Explanation",
    "Explanations",
    "explanation_text",
    "explanations",
    "list_text",
)

# In the wheel the text lies in the package, in a source tree beside it.
_PLACES = (
    Path(__file__).parents[1] / "_specs" / "findings.md",
    Path(__file__).parents[2] / "specs" / "findings.md",
)
_GROUP = re.compile(r"^## (?P<group>.+)$", re.MULTILINE)
_SECTION = re.compile(r"^### (?P<id>\S+)\n(?P<body>(?:(?!##).*\n?)*)", re.MULTILINE)
_PART = re.compile(
    r"^- \*\*(?P<name>\w+):\*\* (?P<text>(?:(?!- ).*\n?)*)", re.MULTILINE
)
_ITEM = re.compile(r"\n +\* ")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_PARTS = ("cause", "consequence", "remedy", "source")


class Explanation(Document, frozen=True, kw_only=True, tag="finding-explained"):
    """The section of one finding.

    Attributes:
        id: the finding's.
        group: the heading that it stands under: ``Unsafe``, ``Degraded`` ...
        cause, consequence, remedy, source: plain text, each in one line.
    """

    id: str
    group: str
    cause: str
    consequence: str
    remedy: str
    source: str


class Explanations(Document, frozen=True, kw_only=True, tag="findings-explained"):
    """Every finding's explanation, in the order of the page."""

    findings: tuple[Explanation, ...]


@cache
def explanations() -> Mapping[str, Explanation]:
    """Return every finding's explanation by its id, in the order of the page.

    Raises:
        InputError: this installation has no specs/findings.md.
    """
    return MappingProxyType(
        {explanation.id: explanation for explanation in _parse(_read())}
    )


def explanation_text(explanation: Explanation, width: int) -> str:
    """Return one explanation as text of at most ``width`` columns."""
    lines = [f"{explanation.id} ({explanation.group.lower()})"]
    for name in _PARTS:
        lines += ["", name.capitalize() + ":"]
        lines += _indented(getattr(explanation, name), width)
    return "\n".join(lines)


def list_text(explanations: Iterable[Explanation], width: int) -> str:
    """Return the ids, group by group, as text of at most ``width`` columns."""
    groups: dict[str, list[str]] = {}
    for explanation in explanations:
        groups.setdefault(explanation.group, []).append(explanation.id)
    lines = []
    for group, ids in groups.items():
        lines.append(f"{group}:")
        lines += _indented("  ".join(ids), width)
    return "\n".join(lines)


def _indented(text: str, width: int) -> list[str]:
    return [
        line
        for paragraph in text.split("\n")
        for line in textwrap.wrap(
            paragraph,
            width,
            initial_indent="  ",
            subsequent_indent="    " if paragraph.startswith("* ") else "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _read() -> str:
    for path in _PLACES:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise InputError(f"this installation has no {_PLACES[0]}: install e820pool again")


def _parse(text: str) -> Iterable[Explanation]:
    groups = [(match.start(), match["group"]) for match in _GROUP.finditer(text)]
    for match in _SECTION.finditer(text):
        before = [group for start, group in groups if start < match.start()]
        parts = {
            part["name"].lower(): _plain(part["text"])
            for part in _PART.finditer(match["body"])
        }
        yield Explanation(
            id=match["id"],
            group=before[-1] if before else "",
            **{name: parts.get(name, "") for name in _PARTS},
        )


# Markdown as people read it: no marks of code, links by their words, a line an item.
def _plain(text: str) -> str:
    items = _ITEM.split(_LINK.sub(r"\1", text).replace("`", ""))
    return "\n* ".join(" ".join(item.split()) for item in items)
