"""What a simulation tells: samples of the curve, and where each limit falls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from e820pool.extents import ExtentSet

__all__ = ("Fall", "Outcome", "Sample")


class Sample(NamedTuple):
    """One point of the curves, after so many deposit calls.

    Attributes:
        call: deposit calls so far.
        day: since the start.
        guests: that live now.
        created: guests so far.
        deposited_pages: that the hypervisor has now.
        reserved_pages: that the next kernel must not use; more than deposited where
            whole arenas are kept from it.
        regions: runs of reserved pages.
        split: entries of the encoding ``split``.
        hybrid: entries of the encoding ``hybrid``.
    """

    call: int
    day: float
    guests: int
    created: int
    deposited_pages: int
    reserved_pages: int
    regions: int
    split: int
    hybrid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """When a limit was first exceeded, and by what."""

    limit: str
    value: int
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one policy under one workload.

    Attributes:
        encoding: whose entries were held against the limits.
        samples: in order; the last one is the end.
        falls: the limits that fell, in order; one that is missing never did.
        peak: the sample with the most entries of the encoding.
        failed_calls: deposits for which there were no pages.
        failed_guests: guests for which there was no memory.
        reserved: what the next kernel must not use, at the end.
        reason: why there was nothing to simulate, "" where there was.
    """

    policy: str
    seed: int
    encoding: str
    samples: tuple[Sample, ...] = ()
    falls: tuple[Fall, ...] = ()
    peak: Sample | None = None
    failed_calls: int = 0
    failed_guests: int = 0
    reserved: ExtentSet | None = field(default=None, compare=False)
    reason: str = ""

    def fall_of(self, limit: str) -> Fall | None:
        """Return when a limit fell, None if it never did."""
        return next((one for one in self.falls if one.limit == limit), None)
