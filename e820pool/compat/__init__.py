"""Judge whether a kernel's view of a handoff leaves deposited pages alone."""

from e820pool.compat.check import check_input
from e820pool.compat.diff import Difference, diff
from e820pool.compat.judge import (
    BootedHandoff,
    Judgement,
    judge,
    judge_boot,
    judge_each,
    judge_input,
    judge_machine,
    model_of_boot,
)
from e820pool.compat.verdict import (
    JudgedOn,
    Verdict,
    VerdictWord,
    verdict_of,
    verdict_unknown,
)

__all__ = (
    "BootedHandoff",
    "Difference",
    "JudgedOn",
    "Judgement",
    "Verdict",
    "VerdictWord",
    "check_input",
    "diff",
    "judge",
    "judge_boot",
    "judge_each",
    "judge_input",
    "judge_machine",
    "model_of_boot",
    "verdict_of",
    "verdict_unknown",
)
