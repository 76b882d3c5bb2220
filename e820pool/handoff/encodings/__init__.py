"""The ways to say "not RAM" about deposited pages; one file a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import InputError
from e820pool.handoff.encodings.carved import CARVED
from e820pool.handoff.encodings.efi_entries import EFI_MAPS
from e820pool.handoff.encodings.encoding import Encoding
from e820pool.handoff.encodings.whole_ram import HANDED_ON, LAID_OVER

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("ENCODINGS", "Encoding", "encoding_named")

ENCODINGS: Mapping[str, Encoding] = {
    encoding.name: encoding for encoding in (*CARVED, *LAID_OVER, *EFI_MAPS, *HANDED_ON)
}
"""Every encoding by its name."""


def encoding_named(name: str) -> Encoding:
    """Return the encoding; InputError lists the known names."""
    if name not in ENCODINGS:
        raise InputError(f"encoding {name!r} is not one of: {', '.join(ENCODINGS)}")
    return ENCODINGS[name]
