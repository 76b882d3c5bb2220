"""Runs of pages with an owner and a firmware type, changed in place."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("OwnedRun", "OwnedRuns")


class OwnedRun(NamedTuple):
    """Name pages ``[start_pfn, end_pfn)``, who has them, and what they were."""

    start_pfn: int
    end_pfn: int
    owner: int
    firmware_type: int


class OwnedRuns:
    """Keep runs sorted and disjoint; equal neighbours that touch are one run.

    The caller asks before it changes anything: no method here refuses.
    """

    __slots__ = ("_runs",)

    def __init__(self, runs: Iterable[OwnedRun] = ()) -> None:
        self._runs = _joined(sorted(runs))

    def __iter__(self) -> Iterator[OwnedRun]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def overlapping(self, start_pfn: int, end_pfn: int) -> list[OwnedRun]:
        """Return the runs of which any page lies in the range, whole."""
        low, high = self._span(start_pfn, end_pfn)
        return self._runs[low:high]

    def within(self, start_pfn: int, end_pfn: int) -> list[OwnedRun]:
        """Return what lies in the range, cut to it."""
        return [
            run._replace(
                start_pfn=max(run.start_pfn, start_pfn),
                end_pfn=min(run.end_pfn, end_pfn),
            )
            for run in self.overlapping(start_pfn, end_pfn)
        ]

    def covers(self, start_pfn: int, end_pfn: int) -> bool:
        """Return whether the first page and every other of the range is in a run."""
        if not self.overlapping(start_pfn, start_pfn + 1):
            return False
        inside = self.within(start_pfn, end_pfn)
        return sum(run.end_pfn - run.start_pfn for run in inside) == end_pfn - start_pfn

    def assign(self, start_pfn: int, end_pfn: int, owner: int) -> None:
        """Give what is in the range to ``owner``; what the pages were stays."""
        inside = self.within(start_pfn, end_pfn)
        self._put(start_pfn, end_pfn, [run._replace(owner=owner) for run in inside])

    def remove(self, start_pfn: int, end_pfn: int) -> None:
        """Forget the pages of the range."""
        self._put(start_pfn, end_pfn, [])

    def _span(self, start_pfn: int, end_pfn: int) -> tuple[int, int]:
        # The slice of runs of which any page lies in the range; none in an empty one.
        low = bisect_right(self._runs, start_pfn, key=lambda run: run.end_pfn)
        high = bisect_left(self._runs, end_pfn, key=lambda run: run.start_pfn)
        return low, max(low, high) if start_pfn < end_pfn else low

    def _put(self, start_pfn: int, end_pfn: int, inside: list[OwnedRun]) -> None:
        low, high = self._span(start_pfn, end_pfn)
        # One neighbour on either side: it may be equal to what is put beside it.
        low, high = max(low - 1, 0), high + 1
        around = self._runs[low:high]
        before = [r._replace(end_pfn=min(r.end_pfn, start_pfn)) for r in around]
        after = [r._replace(start_pfn=max(r.start_pfn, end_pfn)) for r in around]
        self._runs[low:high] = _joined([*before, *inside, *after])


def _joined(runs: Iterable[OwnedRun]) -> list[OwnedRun]:
    out: list[OwnedRun] = []
    for run in runs:
        if run.start_pfn >= run.end_pfn:
            continue
        if out and _is_one(out[-1], run):
            out[-1] = out[-1]._replace(end_pfn=run.end_pfn)
        else:
            out.append(run)
    return out


def _is_one(left: OwnedRun, right: OwnedRun) -> bool:
    return left.end_pfn == right.start_pfn and left[2:] == right[2:]
