"""What a finding is made from: deposits, a kernel's view, the handoff, a profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.extents import ByteRangeSet, ExtentSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView, Row

__all__ = ("Situation", "bytes_named", "situation_of")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Situation:
    """Hold all that a check looks at, and what several of them need.

    Attributes:
        deposits: the pages that must stay untouched.
        view: what the kernel, modelled or real, made of the handoff.
        given: what the handoff says.
        profile: how that kernel reads, with its configuration.
        told: the entries of zero page and SETUP_E820_EXT.
        usable: the pages that the kernel gives to its allocators.
    """

    deposits: ExtentSet
    view: KernelView
    given: BootInput
    profile: Profile
    told: NDArray[Any]
    usable: ExtentSet

    def has(self, behaviour: str) -> bool:
        """Return whether the kernel is known to show the behaviour."""
        return self.profile.has(behaviour)


def situation_of(
    deposits: ExtentSet, view: KernelView, given: BootInput, profile: Profile
) -> Situation:
    """Return the situation of one kernel's view."""
    return Situation(
        deposits=deposits,
        view=view,
        given=given,
        profile=profile,
        told=np.concatenate((given.table, *given.ext)),
        usable=view.usable_pages(),
    )


def bytes_named(rows: Iterable[Row], *kinds: int) -> ByteRangeSet:
    """Return what rows of these types name; one that ends at 2^64 loses a byte."""
    limit = ByteRangeSet.LIMIT
    return ByteRangeSet(
        (addr, min(addr + size, limit)) for addr, size, kind in rows if kind in kinds
    )
