"""Talk to the guest of a chain: wait for marks, give commands, cut the logs by hop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import LabError
from e820pool.extents import ExtentSet
from e820pool.lab.guest_report import has_mark
from e820pool.lab.serial_ports import SerialPorts

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from e820pool.lab.started_vm import StartedVm

__all__ = ("AgentError", "ChainPort", "runs_of")


class AgentError(LabError):
    """The agent refused a command, or a system call of its failed."""


class ChainPort(SerialPorts):
    """Both serial ports of a machine, of which the second is the agent's."""

    def __init__(self, vm: StartedVm, cancel: threading.Event | None = None) -> None:
        super().__init__(vm)
        self._cancel = cancel

    def wait_for(self, what: str, seconds: float, seen: Callable[[], bool]) -> None:
        """Read until ``seen`` is true.

        Raises:
            LostVmError: the machine ended, halted, took too long, or was cancelled.
        """
        ended = self.wait(seen, seconds, self._cancel)
        if ended == "closed":
            raise self.lost(f"VM lost: it ended while waiting for {what}")
        if ended == "halted":
            raise self.lost(f"VM lost: its kernel died before {what}")
        if ended == "late":
            raise self.lost(f"VM lost: no {what} after {seconds:g} s")

    def wait_for_mark(self, name: str, seconds: float) -> None:
        """Read until the guest has written a mark; LostVmError as above."""
        self.wait_for(f"mark {name}", seconds, lambda: has_mark(self.report, name))

    def wait_for_bytes(self, what: str, data: bytes, seconds: float) -> None:
        """Read until the report port has brought ``data``; LostVmError as above."""
        self.wait_for(what, seconds, lambda: data in self.report)

    def command(self, line: str, seconds: float) -> list[str]:
        """Give the agent one command; return its lines before ``ok``.

        Raises:
            AgentError: it says that the command failed.
            LostVmError: there is no answer.
        """
        start = len(self.report)
        self.send(line.encode() + b"\n")
        what = f"answer to {line.partition(chr(10))[0][:60]!r}"
        self.wait_for(what, seconds, lambda: _answer(self.report, start) is not None)
        lines = _answer(self.report, start) or [""]
        if lines[-1].startswith("error "):
            raise AgentError(f"agent: {lines[-1].removeprefix('error ')}")
        return lines[:-1]

    def cut(self) -> tuple[bytes, bytes]:
        """Return what was written since the last cut, console and report; forget it."""
        self.read()
        logs = bytes(self.console), bytes(self.report)
        self.console.clear()
        self.report.clear()
        return logs


def runs_of(lines: list[str]) -> list[tuple[int, int]]:
    """Return ``(start_pfn, end_pfn)`` of the agent's ``run`` lines, in their order.

    Raises:
        AgentError: a line is another.
    """
    found = []
    for line in lines:
        word, _, rest = line.partition(" ")
        numbers = rest.split()
        if word != "run" or len(numbers) != 2 or not all(map(str.isdigit, numbers)):
            raise AgentError(f"agent: {line[:60]!r} is no run of frames")
        start, count = map(int, numbers)
        found.append((start, start + count))
    ExtentSet(found)
    return found


# The lines from ``start`` on, once the last one is an answer's.
def _answer(report: bytearray, start: int) -> list[str] | None:
    text = bytes(report[start:]).replace(b"\r\n", b"\n").decode("latin-1")
    whole, newline, _ = text.rpartition("\n")
    lines = whole.split("\n")
    if not newline or not (lines[-1] == "ok" or lines[-1].startswith("error ")):
        return None
    return lines
