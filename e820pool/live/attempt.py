"""An attempt to load: the agent stands still, and a failure leaves nothing loaded."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.errors import E820PoolError
from e820pool.live.agent import ask_agent
from e820pool.live.load import unload_loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

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
def attempt(agent: str | None, *, acts: bool) -> Iterator[Attempt]:
    """Ask the agent; where something is to be loaded, freeze it until that is done.

    Unless ``succeeded`` is set within, a kernel that was loaded before is unloaded (its
    table is older than the newest deposit) and the agent goes on.

    Raises:
        MachineError: the agent is not there or refuses.
        BadImageError: its answer is no deposits document.
    """
    trial = Attempt()
    try:
        if agent is not None:
            trial.agent_changes = ask_agent(agent, "freeze" if acts else "deposits")
        yield trial
    finally:
        if acts and not trial.succeeded:
            # The reason why it failed is what the caller must hear.
            with suppress(E820PoolError):
                give_up(agent)


def give_up(agent: str | None) -> None:
    """Drop what is loaded, and let the agent go on.

    Raises:
        MachineError: the agent is not there.
    """
    unload_loaded()
    if agent is not None:
        ask_agent(agent, "thaw")
