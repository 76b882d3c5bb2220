"""Progress of boots: by machine, and within one by the phases that are over."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.cli.console import Console
    from e820pool.lab.machine import Phase
    from e820pool.loading.kernel_file import KernelFile

__all__ = ("BootProgress", "boot_progress")

# What a phase takes of a boot, about, as seen with emulation and 1 GiB to fill.
_SHARES: dict[Phase, float] = {
    "firmware": 0.03,
    "kernel": 0.38,
    "report": 0.07,
    "pressure": 0.50,
}
_NEXT: dict[Phase, str] = {
    "firmware": "kernel",
    "kernel": "reporting",
    "report": "filling memory",
    "pressure": "ending",
}


class BootProgress:
    """How far the machines are; their threads may all report."""

    def __init__(self, progress: Progress) -> None:
        """Report to ``progress``, whose total is the number of boots."""
        self._progress = progress
        self._shares: dict[str, float] = {}

    def one_more(self) -> None:
        """Count a boot that was not foreseen."""
        self._progress.expect_more()

    def started(self, kernel: KernelFile, detail: str = "") -> None:
        """Show that a machine starts; ``detail`` says more of it."""
        self._shares[kernel.name] = 0
        self._progress.say(f"booting {Path(kernel.name).name}{detail}")

    def is_over(self, kernel: KernelFile, phase: Phase) -> None:
        """Show that a phase of a machine is over."""
        share = _SHARES.get(phase, 0)
        self._shares[kernel.name] = self._shares.get(kernel.name, 0) + share
        self._progress.say(f"{Path(kernel.name).name}: {_NEXT.get(phase, phase)}")
        self._progress.within(sum(self._shares.values()))

    def ended(self, kernel: str) -> None:
        """Show that a machine has ended, by its kernel's name, or was not needed."""
        self._shares.pop(kernel, None)
        self._progress.step()
        self._progress.within(sum(self._shares.values()))


@contextmanager
def boot_progress(
    boots: int, console: Console, task: str = "preparing"
) -> Iterator[BootProgress]:
    """Show the progress of so many boots, as a context around them."""
    with Progress(console, task, boots) as progress:
        yield BootProgress(progress)
