"""What was meant by a word that is nearly right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("nearest",)

# As alike as `shwo` and `show`, and not as `swap` and `show`.
_ALIKE = 0.6


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like ``word``; "" if none is much like it."""
    from difflib import get_close_matches  # noqa: PLC0415  for mistakes only

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=_ALIKE)), "")
