"""Exit statuses, the same for every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import (
    CapacityError,
    E820PoolError,
    InputError,
    LabError,
    MachineError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "BAD_INPUT",
    "DONE",
    "FAULT",
    "NOT_SAFE",
    "NO_VERDICT",
    "USAGE",
    "Stopped",
    "UnknownKernelError",
    "UsageError",
    "status_of_error",
    "status_of_verdicts",
)

DONE = 0  #: Done, or safe.
NOT_SAFE = 1  #: Unsafe, degraded, or does not fit.
USAGE = 2  #: Usage.
BAD_INPUT = 3  #: Bad input.
NO_VERDICT = 4  #: No verdict.
FAULT = 70  #: A fault of e820pool itself (EX_SOFTWARE of sysexits.h).


class UsageError(InputError):
    """An invalid command line."""


class UnknownKernelError(InputError):
    """No kernel of that name has a profile: there is no verdict, and no view."""


class Stopped(KeyboardInterrupt):
    """A signal asked to stop; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def status_of_error(error: E820PoolError) -> int:
    """Return what an error makes of the exit status; 3 where nothing else fits."""
    for kind, code in (
        (UsageError, USAGE),
        (UnknownKernelError, NO_VERDICT),
        (CapacityError, NOT_SAFE),
        (LabError, NO_VERDICT),
        (MachineError, NO_VERDICT),
    ):
        if isinstance(error, kind):
            return code
    return BAD_INPUT


def status_of_verdicts(words: Iterable[str], fail_on: str = "degraded") -> int:
    """Return 1 if any kernel is unsafe or degraded, else 4 if any is unknown.

    With ``fail_on`` ``unsafe`` a degraded one does not count: no page is touched.
    """
    verdicts = set(words)
    if verdicts & ({"unsafe"} if fail_on == "unsafe" else {"unsafe", "degraded"}):
        return NOT_SAFE
    return NO_VERDICT if "unknown" in verdicts else DONE
