"""Colour for terminals: what a thing looks like, and text that has that look."""

from __future__ import annotations

from collections.abc import Callable

from e820pool.report.zones import Look

__all__ = ("LOOK_STYLES", "VERDICT_STYLES", "Paint", "painter", "plain")

Paint = Callable[[str, str], str]
"""From a style and a text to the text in that style."""

# Names of the terminal's own sixteen colours, so that the user's theme decides what
# they are; each look has a character of its own, too, and colour is never needed.
LOOK_STYLES = {
    Look.RAM: "green",
    Look.RESERVED: "yellow",
    Look.ACPI: "cyan",
    Look.OTHER: "magenta",
    Look.DEPOSITED: "bold white on red",
    Look.NOTHING: "dim",
    Look.DEVICE: "blue",
    Look.PLUGGABLE: "dim",
}
"""How a picture's characters are painted."""

VERDICT_STYLES = {
    "safe": "green",
    "degraded": "yellow",
    "unsafe": "bold red",
    "unknown": "magenta",
}
"""How a verdict's word is painted."""


def plain(_style: str, text: str) -> str:
    """Return ``text`` as it is: for pipes, and for people without colour."""
    return text


def painter() -> Paint:
    """Return a function that wraps a text in the escape codes of a style.

    A style is what rich calls so: ``green``, ``bold white on red``. Nothing is
    wrapped around what has no characters.
    """
    from rich.style import Style  # noqa: PLC0415  only for a terminal

    def paint(style: str, text: str) -> str:
        return Style.parse(style).render(text) if text else text

    return paint
