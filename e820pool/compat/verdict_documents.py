"""A verdict as a part of JSON documents, alone or with both sides of a boot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from msgspec import UNSET, UnsetType

from e820pool.compat.diff import Difference
from e820pool.compat.verdict import JudgedOn, Verdict, VerdictWord
from e820pool.documents import FindingDocument, Part, value_of

if TYPE_CHECKING:
    from e820pool.compat.judge import Judgement

__all__ = ("VerdictDocument", "verdict_value")


class VerdictDocument(Part, frozen=True, kw_only=True):
    """A verdict; ``model``, ``machine`` and ``differences`` where it was booted.

    ``judged_on`` is null where nothing was judged; documents of 0.1 do not have it.
    """

    kernel: str
    verdict: VerdictWord
    findings: tuple[FindingDocument, ...]
    judged_on: JudgedOn | None = None
    model: VerdictWord | UnsetType = UNSET
    machine: VerdictWord | UnsetType = UNSET
    differences: tuple[Difference, ...] | UnsetType = UNSET

    @classmethod
    def of(cls, verdict: Verdict, both: Judgement | None = None) -> Self:
        """Return the document of a verdict, with the two sides it was made of."""
        return cls(
            kernel=verdict.kernel,
            verdict=verdict.verdict,
            findings=FindingDocument.all_of(verdict.findings),
            judged_on=verdict.judged_on,
            model=both.model.verdict if both else UNSET,
            machine=both.machine.verdict if both else UNSET,
            differences=both.differences if both else UNSET,
        )


def verdict_value(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values."""
    value: dict[str, Any] = value_of(VerdictDocument.of(verdict))
    return value
