"""Run one virtual machine from start to end, with a deadline for each phase."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from e820pool.lab.started_vm import LostVmError, SerialPorts, restore_parts, started_vm
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

# What on the report channel ends each phase; the last one ends with the machine.
_PHASE_END = {
    "firmware": STUB_READY,
    "kernel": b"mark hello\n",
    "report": b"mark reported\n",
    "pressure": b"mark done\n",
}


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
    on_ready: Callable[[], None] = lambda: None,
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
    limits, seconds = deadlines or Deadlines(), dict[str, float]()
    with started_vm(spec, ram) as vm, closing(SerialPorts(vm)) as ports:
        for phase in PHASES:
            begin, limit = time.monotonic(), limits.seconds(phase)
            end = _PHASE_END.get(phase)
            ended = ports.wait(partial(_is_in, end, ports.report), limit, cancel)
            if ended == "late":
                raise ports.lost(
                    f"VM lost in phase {phase}: no end after {limit} s", phase
                )
            if ended == "closed":
                _wait_for_exit(vm.process, ports, limits.end)
            elif end == STUB_READY and ended == "seen":
                restore_parts(spec, ram)
                on_ready()
                ports.send(STUB_RESUME)
                ports.report.clear()
            seconds[phase] = time.monotonic() - begin
            if ended != "seen":
                break
            on_phase(phase)
        return VmRun(
            console=bytes(ports.console),
            report=bytes(ports.report),
            ended="halted" if ended == "halted" else "exit",
            phase=phase,
            seconds=seconds,
        )


def _is_in(data: bytes | None, report: bytearray) -> bool:
    return data is not None and data in report


def _wait_for_exit(
    process: subprocess.Popen[bytes], ports: SerialPorts, seconds: float
) -> None:
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise ports.lost("VM lost: QEMU closed its ports and lives on") from None
    if status != 0:
        said = process.stderr.read() if process.stderr else b""
        line = said.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ports.lost(f"QEMU ended with status {status}: {''.join(line)}")
    ports.read_console()
