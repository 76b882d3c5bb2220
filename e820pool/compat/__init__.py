"""Judge whether a kernel's view of a handoff leaves deposited pages alone."""

from e820pool.compat.both import Judgement, judge_both
from e820pool.compat.check import check, check_pages
from e820pool.compat.diff import Difference, diff
from e820pool.compat.verdict import (
    Verdict,
    VerdictWord,
    profile_notes,
    verdict_of,
    verdict_unknown,
    window_notes,
)

__all__ = (
    "Difference",
    "Judgement",
    "Verdict",
    "VerdictWord",
    "check",
    "check_pages",
    "diff",
    "judge_both",
    "profile_notes",
    "verdict_of",
    "verdict_unknown",
    "window_notes",
)
