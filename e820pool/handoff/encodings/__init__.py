"""The ways to say "not RAM" about deposited pages; one file an encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import InputError
from e820pool.handoff.encodings.hybrid import HYBRID
from e820pool.handoff.encodings.model import Encoding
from e820pool.handoff.encodings.split import SPLIT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("ENCODINGS", "Encoding", "encoding_named")

ENCODINGS: Mapping[str, Encoding] = {one.name: one for one in (SPLIT, HYBRID)}


def encoding_named(name: str) -> Encoding:
    """Return the encoding; InputError lists the known names."""
    if name not in ENCODINGS:
        raise InputError(f"encoding {name!r} is not one of: {', '.join(ENCODINGS)}")
    return ENCODINGS[name]
