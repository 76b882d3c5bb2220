"""Runs of pages with an owner and a firmware type, changed in place."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.deposits import Deposit

__all__ = ("OwnedRuns",)


class OwnedRuns:
    """Deposits kept sorted and disjoint; equal neighbours that touch are one.

    The caller asks before it changes anything: no method here refuses.
    """

    __slots__ = ("_runs",)

    def __init__(self, runs: Iterable[Deposit] = ()) -> None:
        self._runs = _joined(sorted(runs, key=attrgetter("start_pfn")))

    def __iter__(self) -> Iterator[Deposit]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def overlapping(self, start_pfn: int, end_pfn: int) -> list[Deposit]:
        """Return the runs of which any page lies in the range, whole."""
        low, high = self._span(start_pfn, end_pfn)
        return self._runs[low:high]

    def within(self, start_pfn: int, end_pfn: int) -> list[Deposit]:
        """Return what lies in the range, cut to it."""
        runs = self.overlapping(start_pfn, end_pfn)
        return [deposit for run in runs for deposit in _cut(run, start_pfn, end_pfn)]

    def covers(self, start_pfn: int, end_pfn: int) -> bool:
        """Return whether the first page and every other of the range is in a run."""
        if not self.overlapping(start_pfn, start_pfn + 1):
            return False
        inside = self.within(start_pfn, end_pfn)
        return sum(run.nr_pages for run in inside) == end_pfn - start_pfn

    def assign(self, start_pfn: int, end_pfn: int, owner: int) -> None:
        """Give what is in the range to ``owner``; what the pages were stays."""
        inside = self.within(start_pfn, end_pfn)
        self._put(start_pfn, end_pfn, [replace(run, owner=owner) for run in inside])

    def remove(self, start_pfn: int, end_pfn: int) -> None:
        """Forget the pages of the range."""
        self._put(start_pfn, end_pfn, [])

    def _span(self, start_pfn: int, end_pfn: int) -> tuple[int, int]:
        # The slice of runs of which any page lies in the range; none in an empty one.
        low = bisect_right(self._runs, start_pfn, key=lambda run: run.end_pfn)
        high = bisect_left(self._runs, end_pfn, key=lambda run: run.start_pfn)
        return low, max(low, high) if start_pfn < end_pfn else low

    def _put(self, start_pfn: int, end_pfn: int, inside: list[Deposit]) -> None:
        low, high = self._span(start_pfn, end_pfn)
        # One neighbour on either side: it may be equal to what is put beside it.
        low, high = max(low - 1, 0), high + 1
        around = self._runs[low:high]
        before = [part for run in around for part in _cut(run, 0, start_pfn)]
        after = [part for run in around for part in _cut(run, end_pfn, run.end_pfn)]
        self._runs[low:high] = _joined([*before, *inside, *after])


# What of a run lies in the range: one run, or none.
def _cut(run: Deposit, start_pfn: int, end_pfn: int) -> list[Deposit]:
    low, high = max(run.start_pfn, start_pfn), min(run.end_pfn, end_pfn)
    if low >= high:
        return []
    if (low, high) == (run.start_pfn, run.end_pfn):
        return [run]
    return [replace(run, start_pfn=low, end_pfn=high)]


def _joined(runs: Iterable[Deposit]) -> list[Deposit]:
    out: list[Deposit] = []
    for run in runs:
        if out and _joins(out[-1], run):
            out[-1] = replace(out[-1], end_pfn=run.end_pfn)
        else:
            out.append(run)
    return out


def _joins(left: Deposit, right: Deposit) -> bool:
    return (left.end_pfn, left.owner, left.firmware_type) == (
        right.start_pfn,
        right.owner,
        right.firmware_type,
    )
