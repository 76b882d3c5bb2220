"""Run one virtual machine from start to end, with a deadline for each phase."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from e820pool.lab.guest_report import has_mark
from e820pool.lab.serial_ports import LostVmError, SerialPorts
from e820pool.lab.started_vm import restore_parts, started_vm
from e820pool.loading.multiboot_stub import STUB_READY, STUB_RESUME

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from e820pool.lab.guest_ram import GuestRam
    from e820pool.lab.qemu import VmSpec

__all__ = ("PHASES", "Deadlines", "LostVmError", "Phase", "VmRun", "run_vm")

Phase = Literal["firmware", "kernel", "report", "pressure", "end"]
"""One of :data:`PHASES`."""

PHASES: tuple[Phase, ...] = ("firmware", "kernel", "report", "pressure", "end")
"""What a machine goes through; each has a deadline of its own."""

# The mark on the report channel that ends each phase.
_PHASE_END = {"kernel": "hello", "report": "reported", "pressure": "done"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """The seconds of each phase; generous, since emulation on a busy host is slow.

    Attributes:
        firmware: until the stub runs.
        kernel: until the guest's init runs.
        report: until its report is complete.
        pressure: until memory is filled.
        end: from there until QEMU is gone.
    """

    firmware: float = 30
    kernel: float = 120
    report: float = 60
    pressure: float = 180
    end: float = 20

    def seconds(self, phase: Phase) -> float:
        """Return the limit of one phase."""
        limit: float = getattr(self, phase)
        return limit


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRun:
    """What a machine left behind.

    Attributes:
        console: bytes of the first serial port.
        report: bytes of the second.
        ended: ``exit`` QEMU ended (reset, panic, ``reboot -f``); ``halted`` the
            kernel stopped itself and was ended here.
        phase: the last phase it reached.
        seconds: wall time of each phase that it reached.
    """

    console: bytes
    report: bytes
    ended: Literal["exit", "halted"]
    phase: Phase
    seconds: dict[str, float]


def run_vm(
    spec: VmSpec,
    ram: GuestRam,
    *,
    deadlines: Deadlines | None = None,
    on_ready: Callable[[], None] | None = None,
    on_phase: Callable[[Phase], None] = lambda _: None,
    cancel: threading.Event | None = None,
) -> VmRun:
    """Boot a machine and return what it said, when it has ended.

    Args:
        spec: the machine.
        ram: its memory; the caller looks at it afterwards.
        deadlines: seconds for each phase.
        on_ready: called once, when firmware is done and no kernel has run; the
            machine stands still meanwhile.
        on_phase: called with each phase that is over.
        cancel: another thread sets it to end the machine.

    Raises:
        LostVmError: a deadline passed, or the run was cancelled.
        LabError: QEMU is missing or did not start.
    """

    def ready() -> None:
        restore_parts(spec, ram)
        if on_ready is not None:
            on_ready()

    with started_vm(spec, ram) as vm, closing(SerialPorts(vm)) as ports:
        watch = _Watch(ports, deadlines or Deadlines(), ready, on_phase)
        return watch.run(vm.process, cancel)


class _Watch:
    """One process and its two serial ports, as they are followed."""

    def __init__(
        self,
        ports: SerialPorts,
        deadlines: Deadlines,
        on_ready: Callable[[], None],
        on_phase: Callable[[Phase], None],
    ) -> None:
        self._ports = ports
        self._deadlines = deadlines
        self._on_ready = on_ready
        self._on_phase = on_phase
        self._phase: Phase = "firmware"
        self._phase_start = time.monotonic()
        self._seconds: dict[str, float] = {}

    def run(
        self, process: subprocess.Popen[bytes], cancel: threading.Event | None
    ) -> VmRun:
        ports = self._ports
        while ports.is_open:
            if cancel is not None and cancel.is_set():
                raise ports.lost("VM lost: cancelled")
            ports.read()
            self._advance()
            if ports.is_halted:
                return self._outcome("halted")
            self._check_deadline()
        self._wait(process)
        ports.read_console()
        return self._outcome("exit")

    def _advance(self) -> None:
        report = self._ports.report
        if self._phase == "firmware" and STUB_READY in report:
            self._on_ready()
            self._ports.send(STUB_RESUME)
            report.clear()
            self._next_phase()
        while (mark := _PHASE_END.get(self._phase)) and has_mark(report, mark):
            self._next_phase()

    def _next_phase(self) -> None:
        now = time.monotonic()
        self._seconds[self._phase] = now - self._phase_start
        self._phase_start = now
        self._on_phase(self._phase)
        self._phase = PHASES[PHASES.index(self._phase) + 1]

    def _check_deadline(self) -> None:
        limit = self._deadlines.seconds(self._phase)
        if time.monotonic() - self._phase_start > limit:
            raise self._ports.lost(
                f"VM lost in phase {self._phase}: no end after {limit} s", self._phase
            )

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            status = process.wait(self._deadlines.end)
        except subprocess.TimeoutExpired:
            raise self._ports.lost(
                "VM lost: QEMU closed its ports and lives on"
            ) from None
        if status != 0:
            said = process.stderr.read() if process.stderr else b""
            line = said.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise self._ports.lost(f"QEMU ended with status {status}: {''.join(line)}")

    def _outcome(self, ended: Literal["exit", "halted"]) -> VmRun:
        self._seconds[self._phase] = time.monotonic() - self._phase_start
        return VmRun(
            console=bytes(self._ports.console),
            report=bytes(self._ports.report),
            ended=ended,
            phase=self._phase,
            seconds=self._seconds,
        )
