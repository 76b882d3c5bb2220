"""An attempt to load: the agent stands still, and a failure leaves nothing loaded."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.errors import E820PoolError, MachineError
from e820pool.live.agent import AgentRequest, ask_agent
from e820pool.live.load import unload_loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e820pool.sources.deposits_file import DepositChanges
    from e820pool.sources.live_machine import LiveMachine

__all__ = ("Attempt", "attempt", "give_up")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """How far it came.

    Attributes:
        machine: what the running kernel shows.
        agent_changes: what the agent said, None without one.
        succeeded: set by the caller once the kernel is loaded.
    """

    machine: LiveMachine
    agent_changes: DepositChanges | None = None
    succeeded: bool = False


@contextmanager
def attempt(
    agent: str | None,
    *,
    acts: bool,
    gates: Callable[[], LiveMachine],
    panic: bool = False,
    wait: float = 0,
) -> Iterator[Attempt]:
    """Ask the agent; where something is to be loaded, freeze it until that is done.

    Unless ``succeeded`` is set within, a kernel that was loaded before is unloaded (its
    table is older than the newest deposit) and the agent goes on. A refusal of
    ``gates`` ends the same way.

    Args:
        agent: who keeps the deposits, None where nobody is asked.
        acts: whether a kernel is to be loaded.
        gates: reads the machine, and raises where it cannot be asked for this.
        panic: whether it is loaded for a crash. The agent goes on once it is.
        wait: how many seconds the agent's socket may need to appear.

    Raises:
        MachineError: the agent is not there or refuses; or an attempt failed, and
            the kernel that was loaded before could not be unloaded.
        BadImageError: its answer is no deposits document.
    """
    trial = None
    try:
        trial = Attempt(machine=gates())
        if agent is not None:
            word: AgentRequest = "freeze" if acts else "deposits"
            trial.agent_changes = ask_agent(agent, word, wait=wait)
        yield trial
        if acts and panic and trial.succeeded and agent is not None:
            trial.succeeded = False
            ask_agent(agent, "thaw")
            trial.succeeded = True
    except BaseException as exc:
        if acts and not (trial is not None and trial.succeeded):
            _leave_nothing(agent, exc, panic)
        raise
    if acts and not trial.succeeded:
        _leave_nothing(agent, None, panic)


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


def give_up(agent: str | None, *, panic: bool = False) -> None:
    """Drop what is loaded (with ``panic`` for a crash), and let the agent go on.

    Raises:
        MachineError: a kernel stays loaded, or the agent is not there.
    """
    unload_loaded(panic=panic)
    if agent is not None:
        ask_agent(agent, "thaw")
