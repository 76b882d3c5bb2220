"""The ways in which a boot ends: each has an id, words for people, and a source."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("BootEnd",)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootEnd:
    """A way for a boot to end; it stands beside the step of the kernel that ends it.

    Attributes:
        id: the stable name by which code knows it.
        words: why the boot ends, for people; a panic's own words where it has some.
        source: where it was read: release, file, function.
    """

    id: str
    words: str
    source: str
