"""Judge whether a kernel's view of a handoff leaves deposited pages alone."""

from e820pool.compat.check import check
from e820pool.compat.diff import Difference, diff
from e820pool.compat.verdict import Verdict, VerdictWord, verdict_of, verdict_unknown

__all__ = (
    "Difference",
    "Verdict",
    "VerdictWord",
    "check",
    "diff",
    "verdict_of",
    "verdict_unknown",
)
