"""A matrix of encodings and kernels: what the model says, and what machines showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.compat import judge_boot
from e820pool.pool.designs import contradiction

if TYPE_CHECKING:
    from e820pool.compat import Difference, Verdict
    from e820pool.kernel.profiles import Profile
    from e820pool.lab.boot import Outcome
    from e820pool.pool.designs import DesignCell

__all__ = ("Booted", "CompareCell", "Comparison", "booted_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """What a real kernel did under one encoding.

    Attributes:
        kernel: as it names itself.
        verdict: of what was seen; None where the machine was lost, for ``failure``.
        nr_touched: deposited pages that were read or written.
        differences: between the model's reading and the machine's.
        contradiction: how it contradicts the model's verdict, "" where not.
    """

    kernel: str = ""
    verdict: Verdict | None = None
    nr_touched: int = 0
    differences: tuple[Difference, ...] = ()
    contradiction: str = ""
    failure: str = ""

    @property
    def agrees(self) -> bool:
        """Return whether the model foresaw it."""
        return not (self.differences or self.contradiction or self.failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareCell:
    """One encoding on one kernel; ``booted`` is None where none was asked for."""

    model: DesignCell
    booted: Booted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The matrix, encoding by encoding, each with every kernel.

    Attributes:
        meanings: of each encoding, in one sentence.
        nr_deposited: pages.
        nr_deposits: extents.
    """

    encodings: tuple[str, ...]
    kernels: tuple[str, ...]
    cells: tuple[CompareCell, ...]
    meanings: dict[str, str]
    nr_deposited: int
    nr_deposits: int

    def row(self, encoding: str) -> tuple[CompareCell, ...]:
        """Return an encoding's cells, in the order of the kernels."""
        at = self.encodings.index(encoding) * len(self.kernels)
        return self.cells[at : at + len(self.kernels)]

    @property
    def is_booted(self) -> bool:
        """Return whether any kernel was booted."""
        return any(cell.booted is not None for cell in self.cells)

    @property
    def disagreements(self) -> tuple[CompareCell, ...]:
        """Return the cells in which model and machine differ."""
        return tuple(
            cell
            for cell in self.cells
            if cell.booted is not None and not cell.booted.agrees
        )


def booted_of(cell: DesignCell, outcome: Outcome, profile: Profile) -> Booted:
    """Return what a boot of a cell's handoff showed, held against the model."""
    if outcome.record is None:
        return Booted(failure=str(outcome.failure))
    record = outcome.record
    touched = record.view.touched_deposits
    both = judge_boot(record, profile)
    return Booted(
        kernel=record.view.kernel,
        verdict=both.machine,
        nr_touched=touched.nr_pages if touched else 0,
        differences=both.differences,
        contradiction=contradiction(cell, record.view),
    )
