"""Run one virtual machine: deadlines by phase, and nothing left behind."""

from __future__ import annotations

import functools
import os
import selectors
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from e820pool.errors import LabError
from e820pool.lab.console_file import ConsoleFile
from e820pool.lab.guest_report import has_mark
from e820pool.lab.qemu import VmChannels, find_qemu, qemu_argv
from e820pool.lab.stub import STUB_READY, STUB_RESUME, build_stub_elf

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from e820pool.lab.guest_ram import GuestRam
    from e820pool.lab.qemu import VmSpec

__all__ = (
    "PHASES",
    "Deadlines",
    "LostVmError",
    "Phase",
    "StartedVm",
    "VmRun",
    "restore_parts",
    "run_vm",
    "started_vm",
)

Phase = Literal["firmware", "kernel", "report", "pressure", "end"]
"""One of :data:`PHASES`."""

PHASES: tuple[Phase, ...] = ("firmware", "kernel", "report", "pressure", "end")
"""What a machine goes through; each has a deadline of its own."""

# The mark on the report channel that ends each phase.
_PHASE_END = {"kernel": "hello", "report": "reported", "pressure": "done"}

# A kernel that died without a reset says so; then it is silent.
_HALTED = (b"PANIC: early exception", b"-- System halted", b"end Kernel panic")
_SILENCE_SECONDS = 2.0

_TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Give each phase its seconds; generous, since emulation on a busy host is slow.

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
    """Hold what a machine left.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedVm:
    """Hold a machine that runs: its process and our ends of its serial ports."""

    process: subprocess.Popen[bytes]
    console: ConsoleFile
    report: socket.socket


class LostVmError(LabError):
    """A machine that neither ended nor stopped in time: there is no verdict.

    Attributes:
        console: what it had written to its first serial port.
        report: the same of the second.
    """

    def __init__(
        self, message: str, *, console: bytes = b"", report: bytes = b""
    ) -> None:
        super().__init__(message)
        self.console = console
        self.report = report


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

    with started_vm(spec, ram) as vm:
        watch = _Watch(vm.console, vm.report, deadlines or Deadlines(), ready, on_phase)
        return watch.run(vm.process, cancel)


@contextmanager
def started_vm(spec: VmSpec, ram: GuestRam) -> Iterator[StartedVm]:
    """Start a machine; its stub waits for :data:`STUB_RESUME` on the report port.

    It is ended when the context is left.

    Raises:
        LabError: QEMU is missing or did not start.
    """
    with ExitStack() as stack:
        console = ConsoleFile()
        stack.callback(console.close)
        report, report_far = _pair(stack)
        stub = build_stub_elf(addr=spec.stub_addr, entry=spec.entry, wait=True)
        files = [_memory_file(stack, "stub", stub)]
        files += [_memory_file(stack, p.what, p.data) for p in spec.parts]
        channels = VmChannels(
            ram=_fd_path(ram.fileno),
            stub=_fd_path(files[0]),
            parts=tuple(_fd_path(fd) for fd in files[1:]),
            console=f"file,path={_fd_path(console.fileno)}",
            report=f"socket,fd={report_far.fileno()}",
        )
        argv = [*_die_with_parent(), *qemu_argv(spec, channels, qemu=find_qemu())]
        inherited = [ram.fileno, *files, console.fileno, report_far.fileno()]
        process = stack.enter_context(_process(argv, inherited))
        report_far.close()
        yield StartedVm(process=process, console=console, report=report)


def restore_parts(spec: VmSpec, ram: GuestRam) -> None:
    """Put the parts back where firmware has written over them.

    QEMU's loader places them before SeaBIOS runs, which uses memory below a
    multiple of 16 MiB near the top of RAM for a while. Call it while the stub waits.
    """
    for part in spec.parts:
        ram.restore(part.addr, part.data)


class _Watch:
    """Follow one process by its two serial ports."""

    def __init__(
        self,
        console: ConsoleFile,
        report: socket.socket,
        deadlines: Deadlines,
        on_ready: Callable[[], None],
        on_phase: Callable[[Phase], None],
    ) -> None:
        self._console_file = console
        self._console = bytearray()
        self._report = bytearray()
        self._report_port = report
        self._deadlines = deadlines
        self._on_ready = on_ready
        self._on_phase = on_phase
        self._phase: Phase = "firmware"
        self._phase_start = self._last_output = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(report, selectors.EVENT_READ)

    def run(
        self, process: subprocess.Popen[bytes], cancel: threading.Event | None
    ) -> VmRun:
        with self._selector:
            while self._selector.get_map():
                if cancel is not None and cancel.is_set():
                    raise self._lost("VM lost: cancelled")
                self._read_ports()
                self._advance()
                if self._is_halted():
                    return self._outcome("halted")
                self._check_deadline()
        self._wait(process)
        self._read_console()
        return self._outcome("exit")

    def _read_ports(self) -> None:
        if self._selector.select(_TICK_SECONDS):
            try:
                data = self._report_port.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            self._report += data
            self._last_output = time.monotonic()
            if not data:
                self._selector.unregister(self._report_port)
        self._read_console()

    def _read_console(self) -> None:
        data = self._console_file.read_new()
        if data:
            self._console += data
            self._last_output = time.monotonic()

    def _advance(self) -> None:
        if self._phase == "firmware" and STUB_READY in self._report:
            self._on_ready()
            self._report_port.sendall(STUB_RESUME)
            self._report.clear()
            self._next_phase()
        while (mark := _PHASE_END.get(self._phase)) and has_mark(self._report, mark):
            self._next_phase()

    def _next_phase(self) -> None:
        now = time.monotonic()
        self._seconds[self._phase] = now - self._phase_start
        self._phase_start = now
        self._on_phase(self._phase)
        self._phase = PHASES[PHASES.index(self._phase) + 1]

    def _is_halted(self) -> bool:
        silent = time.monotonic() - self._last_output > _SILENCE_SECONDS
        return silent and any(words in self._console for words in _HALTED)

    def _check_deadline(self) -> None:
        limit = self._deadlines.seconds(self._phase)
        if time.monotonic() - self._phase_start > limit:
            raise self._lost(f"VM lost in phase {self._phase}: no end after {limit} s")

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            status = process.wait(self._deadlines.end)
        except subprocess.TimeoutExpired:
            raise self._lost("VM lost: QEMU closed its ports and lives on") from None
        if status != 0:
            said = process.stderr.read() if process.stderr else b""
            line = said.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise self._lost(f"QEMU ended with status {status}: {''.join(line)}")

    def _lost(self, message: str) -> LostVmError:
        return LostVmError(
            message, console=bytes(self._console), report=bytes(self._report)
        )

    def _outcome(self, ended: Literal["exit", "halted"]) -> VmRun:
        self._seconds[self._phase] = time.monotonic() - self._phase_start
        return VmRun(
            console=bytes(self._console),
            report=bytes(self._report),
            ended=ended,
            phase=self._phase,
            seconds=self._seconds,
        )


@contextmanager
def _process(argv: list[str], fds: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        # A session of its own: Ctrl-C reaches this program, which ends QEMU.
        process = subprocess.Popen(  # noqa: S603  our own command line
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=fds,
            start_new_session=True,
        )
    except OSError as exc:
        raise LabError(f"QEMU did not start: {exc}") from exc
    with process:
        try:
            yield process
        finally:
            process.kill()


@functools.cache
def _die_with_parent() -> tuple[str, ...]:
    # util-linux's setpriv asks the kernel to end QEMU when this program is ended by
    # a signal that it cannot handle. Other versions of the tool do not know how.
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "KILL")
    probe = subprocess.run(  # noqa: S603  our own command line
        (*prefix, "true"), capture_output=True, check=False
    )
    return prefix if probe.returncode == 0 else ()


# A serial port writes a few bytes at a time, each charged some KiB of the buffer;
# where it is full for a moment QEMU drops what the guest prints. SO_SNDBUFFORCE, which
# the socket module does not name, goes beyond the system's limit for root.
_SO_SNDBUFFORCE = 32
_SNDBUF_BYTES = 8 << 20


def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    try:
        far.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SNDBUF_BYTES)
    except PermissionError:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SNDBUF_BYTES)
    return stack.enter_context(near), stack.enter_context(far)


def _memory_file(stack: ExitStack, name: str, data: bytes) -> int:
    fd = os.memfd_create(f"e820pool-{name}", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    with os.fdopen(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def _fd_path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"
