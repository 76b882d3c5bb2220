"""Exit statuses, the same for every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import CapacityError, E820PoolError, LabError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "BAD_INPUT",
    "DONE",
    "INTERRUPTED",
    "NOT_SAFE",
    "NO_VERDICT",
    "USAGE",
    "status_of_error",
    "status_of_verdicts",
)

DONE = 0
NOT_SAFE = 1
USAGE = 2
BAD_INPUT = 3
NO_VERDICT = 4
# What a shell reports for SIGINT, 128 + 2.
INTERRUPTED = 130


def status_of_error(error: E820PoolError) -> int:
    """Return 1 for what does not fit, 4 for a lab failure, else 3."""
    if isinstance(error, CapacityError):
        return NOT_SAFE
    return NO_VERDICT if isinstance(error, LabError) else BAD_INPUT


def status_of_verdicts(words: Iterable[str]) -> int:
    """Return 1 if any kernel is unsafe or degraded, else 4 if any is unknown."""
    seen = set(words)
    if seen & {"unsafe", "degraded"}:
        return NOT_SAFE
    return NO_VERDICT if "unknown" in seen else DONE
