"""The ways to say "not RAM" about deposited pages; one file an encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import InputError
from e820pool.handoff.encodings.efi_map import EFI_MAP, EFI_MAP_ADDED
from e820pool.handoff.encodings.hybrid import HYBRID
from e820pool.handoff.encodings.isolated import CRASH_WINDOW, UP_FRONT
from e820pool.handoff.encodings.kho import KHO, KHO_RADIX
from e820pool.handoff.encodings.memmap_words import (
    MEMMAP_ARGS,
    MEMMAP_FOUR,
    MEMMAP_LIST,
)
from e820pool.handoff.encodings.model import Encoding
from e820pool.handoff.encodings.overlaid import EXT_ONLY, OVERLAID
from e820pool.handoff.encodings.retyped import (
    HOLE,
    NEW_TYPE,
    PMEM,
    PRAM,
    RESERVED_KERN,
    UNUSABLE,
)
from e820pool.handoff.encodings.series_v2 import SERIES_V2
from e820pool.handoff.encodings.split import GUARDED, SPLIT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("ENCODINGS", "Encoding", "encoding_named")

ENCODINGS: Mapping[str, Encoding] = {
    encoding.name: encoding
    for encoding in (
        # Ours, then those that carve, then those that rely on something else.
        GUARDED,
        SPLIT,
        HYBRID,
        HOLE,
        UNUSABLE,
        PMEM,
        PRAM,
        NEW_TYPE,
        RESERVED_KERN,
        CRASH_WINDOW,
        UP_FRONT,
        OVERLAID,
        EXT_ONLY,
        MEMMAP_LIST,
        MEMMAP_ARGS,
        MEMMAP_FOUR,
        EFI_MAP,
        EFI_MAP_ADDED,
        SERIES_V2,
        KHO,
        KHO_RADIX,
    )
}
"""Every encoding by its name."""


def encoding_named(name: str) -> Encoding:
    """Return the encoding; InputError lists the known names."""
    if name not in ENCODINGS:
        raise InputError(f"encoding {name!r} is not one of: {', '.join(ENCODINGS)}")
    return ENCODINGS[name]
