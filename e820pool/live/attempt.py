"""An attempt to load: the agent stands still, and a failure leaves nothing loaded."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.errors import E820PoolError, MachineError
from e820pool.live.agent import ask_agent
from e820pool.live.load import unload_loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e820pool.sources.deposits_file import DepositChanges

__all__ = ("Attempt", "attempt", "give_up")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """Hold how far it came.

    Attributes:
        agent_changes: what the agent said, None without one.
        succeeded: set by the caller once the kernel is loaded.
    """

    agent_changes: DepositChanges | None = None
    succeeded: bool = False


@contextmanager
def attempt(
    agent: str | None, *, acts: bool, gates: Callable[[], None], panic: bool = False
) -> Iterator[Attempt]:
    """Ask the agent; where something is to be loaded, freeze it until that is done.

    Unless ``succeeded`` is set within, a kernel that was loaded before is unloaded (its
    table is older than the newest deposit) and the agent goes on. That holds for a
    refusal of the gates, too.

    Args:
        agent: who keeps the deposits, None where nobody is asked.
        acts: whether a kernel is to be loaded.
        gates: raises MachineError where this machine cannot load it; asked first.
        panic: whether it is loaded for a crash. The agent goes on once it is.

    Raises:
        MachineError: the agent is not there or refuses; or an attempt failed, and
            the kernel that was loaded before could not be unloaded.
        BadImageError: its answer is no deposits document.
    """
    trial = Attempt()
    try:
        if acts:
            gates()
        if agent is not None:
            trial.agent_changes = ask_agent(agent, "freeze" if acts else "deposits")
        yield trial
    except BaseException as exc:
        if acts and not trial.succeeded:
            _leave_nothing(agent, exc, panic)
        raise
    if acts and not trial.succeeded:
        _leave_nothing(agent, None, panic)
    elif acts and panic and agent is not None:
        ask_agent(agent, "thaw")


# The reason why it failed is what the caller must hear, and with it what is left.
def _leave_nothing(
    agent: str | None, reason: BaseException | None, panic: bool
) -> None:
    is_left = False
    try:
        unload_loaded(panic=panic)
    except MachineError as exc:
        is_left = True
        if reason is None:
            raise
        reason.add_note(str(exc))
    if agent is not None and not is_left:
        with suppress(E820PoolError):
            ask_agent(agent, "thaw")


def give_up(agent: str | None) -> None:
    """Drop what is loaded, and let the agent go on.

    Raises:
        MachineError: a kernel stays loaded, or the agent is not there.
    """
    unload_loaded()
    if agent is not None:
        ask_agent(agent, "thaw")
