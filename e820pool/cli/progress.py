"""Progress on a terminal: what is done now, how much, and how long the rest takes."""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from e820pool.findings import one_line

if TYPE_CHECKING:
    from e820pool.cli.console import Console
    from e820pool.lab.machine import Phase
    from e820pool.loading.kernel_file import KernelFile


__all__ = (
    "BootProgress",
    "Progress",
    "seconds_left",
)

# What is done before is not worth a line that comes and goes.
_DELAY_SECONDS = 0.5
_REDRAWS_A_SECOND = 4
# So often at the most is rich told of a step: there may be 10^5 a second.
_TELL_SECONDS = 0.1
# Beyond it a share is easier to read than a count.
_LARGEST_COUNT = 100_000


def seconds_left(done: float, total: float | None, at: float, now: float) -> float:
    """Return how long the rest will take, as what is done did; inf if unknown.

    Args:
        done: how much was done at the last step.
        total: how much there is, None if unknown.
        at: seconds from the start to the last step.
        now: seconds from the start until now.
    """
    if total is None or done <= 0:
        return math.inf
    return max(at / done * (total - done) - (now - at), 0)


class Progress:
    """The progress of a command, as a context around its work.

    Nothing is shown when stderr is no terminal, or is asked to be quiet, nor before
    half a second has passed; nothing is left on the screen afterwards. Notes are
    printed above the line. Any thread may report.
    """

    def __init__(
        self,
        console: Console,
        task: str,
        total: float | None = None,
        *,
        streams: bool = False,
    ) -> None:
        """Get ready to count up to ``total``.

        Args:
            console: whose stderr is drawn on.
            task: is being done, for people.
            total: of steps, or of bytes; None where it is not known.
            streams: results are printed meanwhile: on a terminal they are what shows
                that work goes on, and nothing is drawn between them.
        """
        self._console = console
        self._task = task
        self._total = total
        self._done = self._part = 0.0
        self._started = self._at = self._shown_at = time.monotonic()
        self._lock = threading.RLock()
        self._drawn: Any = None
        wanted = console.shows_progress and not (streams and console.out.isatty())
        self._timer = threading.Timer(_DELAY_SECONDS, self._begin) if wanted else None

    def __enter__(self) -> Self:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._drawn is not None:
                self._console.above = None
                self._drawn.stop()
                self._drawn = None

    def say(self, task: str) -> None:
        """Show what is being done now."""
        with self._lock:
            self._task = task
            self._update(now=True)

    def expect_more(self, amount: float = 1) -> None:
        """Show that there is more to do than was thought."""
        with self._lock:
            if self._total is not None:
                self._total += amount
            self._update(now=True)

    def at_step(self, task: str, done: float, total: float) -> None:
        """Show what is being done now, after how much, and how much there is."""
        with self._lock:
            self._task, self._done, self._total = task, done, total
            self._at = time.monotonic()
            self._update(now=True)

    def step(self, amount: float = 1) -> None:
        """Count more as done."""
        with self._lock:
            self._done += amount
            self._part = 0
            self._at = time.monotonic()
            self._update()

    def within(self, share: float) -> None:
        """Show what is done beyond whole steps: a share of the current one.

        It may be more than 1 where several are under way.
        """
        with self._lock:
            self._part = share
            self._at = time.monotonic()
            self._update()

    def _update(self, *, now: bool = False) -> None:
        is_due = now or self._at >= self._shown_at + _TELL_SECONDS
        if self._drawn is not None and is_due:
            self._shown_at = self._at
            self._drawn.update(0, description=one_line(self._task), **self._numbers())

    def _numbers(self) -> dict[str, Any]:
        return {
            "completed": self._done + self._part,
            "total": self._total,
            "count": _count(self._done, self._total),
            "at": self._at - self._started,
        }

    def _begin(self) -> None:
        with self._lock:
            if self._timer is None:
                return
            drawn = _bar(self._console)
            drawn.add_task(one_line(self._task), **self._numbers())
            drawn.start()
            # Its clock starts late: what it shows counts from our start.
            drawn.tasks[0].start_time -= time.monotonic() - self._started
            self._drawn = drawn
            self._console.above = lambda text: drawn.console.print(
                text, markup=False, highlight=False, soft_wrap=True
            )


def _count(done: float, total: float | None) -> str:
    if total is None:
        return ""
    if total > _LARGEST_COUNT:
        return f"{100 * done / total:.0f} %"
    return f"{int(done)}/{int(total)}"


def _bar(console: Console) -> Any:
    # rich redraws in a thread of its own.
    from rich import progress  # noqa: PLC0415  on a terminal only
    from rich.console import Console as Terminal  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Times(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            return Text(
                _times(task.completed, task.total, task.fields["at"], task.elapsed or 0)
            )

    terminal = Terminal(
        file=console.err,
        force_terminal=True,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )
    # Room for the ^C that a terminal writes behind the line: it must not wrap.
    terminal.width -= 3
    return progress.Progress(
        progress.SpinnerColumn(spinner_name="dots" if console.unicode else "line"),
        progress.TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, ratio=1),
        ),
        progress.BarColumn(bar_width=20),
        progress.TextColumn("{task.fields[count]}", markup=False),
        Times(),
        console=terminal,
        transient=True,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
        refresh_per_second=_REDRAWS_A_SECOND,
    )


def _times(done: float, total: float | None, at: float, now: float) -> str:
    left = seconds_left(done, total, at, now)
    return f"{_span(now)}, {_span(left)} left" if left < math.inf else _span(now)


def _span(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


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


class BootProgress(Progress):
    """How far machines are, of so many boots; their threads may all report."""

    def __init__(self, boots: int, console: Console, task: str = "preparing") -> None:
        super().__init__(console, task, boots)
        self._shares: dict[str, float] = {}

    def started(self, kernel: KernelFile, detail: str = "") -> None:
        """Show that a machine starts; ``detail`` says more of it."""
        self._shares[kernel.name] = 0
        self.say(f"booting {Path(kernel.name).name}{detail}")

    def is_over(self, kernel: KernelFile, phase: Phase) -> None:
        """Show that a phase of a machine is over."""
        share = _SHARES.get(phase, 0)
        self._shares[kernel.name] = self._shares.get(kernel.name, 0) + share
        self.say(f"{Path(kernel.name).name}: {_NEXT.get(phase, phase)}")
        self.within(sum(self._shares.values()))

    def ended(self, kernel: str) -> None:
        """Show that a machine has ended, by its kernel's name, or was not needed."""
        self._shares.pop(kernel, None)
        self.step()
        self.within(sum(self._shares.values()))
