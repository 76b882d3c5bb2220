"""Start one virtual machine, hear what it says, and leave nothing behind.

Its serial ports tell whether it has died of itself, too.
"""

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
from e820pool.lab.qemu import VmChannels, VmSpec, find_qemu, qemu_argv
from e820pool.loading.multiboot_stub import build_stub_elf

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from e820pool.lab.guest_ram import GuestRam

__all__ = (
    "ConsoleFile",
    "LostVmError",
    "SerialPorts",
    "StartedVm",
    "restore_parts",
    "started_vm",
)

_CHUNK_BYTES = 1 << 16

_TICK_SECONDS = 0.1

# A kernel that died without a reset says so; then it is silent.
_HALTED = (b"PANIC: early exception", b"-- System halted", b"end Kernel panic")
_SILENCE_SECONDS = 2.0


class LostVmError(LabError):
    """A machine that neither ended nor stopped in time: there is no verdict.

    Attributes:
        console: what it had written to its first serial port.
        report: the same of the second.
        phase: in which it was lost (:data:`e820pool.lab.machine.PHASES`), "" where
            none had begun.
    """

    def __init__(
        self,
        message: str,
        *,
        console: bytes = b"",
        report: bytes = b"",
        phase: str = "",
    ) -> None:
        super().__init__(message)
        self.console = console
        self.report = report
        self.phase = phase


class ConsoleFile:
    """What a machine prints, as it is printed.

    A file is never full: where a socket's buffer is, for a moment on a busy host, QEMU
    drops what the guest prints (hw/char/serial.c, serial_xmit(): four tries).
    """

    def __init__(self) -> None:
        self._fd = os.memfd_create("e820pool-console", os.MFD_CLOEXEC)
        self._read_bytes = 0

    @property
    def fileno(self) -> int:
        """Return the descriptor that the machine's process has to inherit."""
        return self._fd

    def read_new(self) -> bytes:
        """Return what was printed since the last call, perhaps nothing."""
        new = bytearray()
        while data := os.pread(self._fd, _CHUNK_BYTES, self._read_bytes):
            self._read_bytes += len(data)
            new += data
        return bytes(new)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


class SerialPorts:
    """Both serial ports of a machine, read; the second is written to, too.

    Attributes:
        console: what was read of the first port; the reader may cut it.
        report: the same of the second.
    """

    def __init__(self, vm: StartedVm) -> None:
        self.console = bytearray()
        self.report = bytearray()
        self._console_file = vm.console
        self._report_port = vm.report
        self._last_output = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._selector.register(vm.report, selectors.EVENT_READ)

    def close(self) -> None:
        """Give the selector back; the ports are the machine's."""
        self._selector.close()

    @property
    def is_open(self) -> bool:
        """Return whether the machine still holds its end of the report port."""
        return bool(self._selector.get_map())

    @property
    def is_halted(self) -> bool:
        """Return whether the kernel said that it stopped, and nothing since."""
        silent = time.monotonic() - self._last_output > _SILENCE_SECONDS
        return silent and any(words in self.console for words in _HALTED)

    def wait(
        self,
        seen: Callable[[], bool],
        seconds: float,
        cancel: threading.Event | None = None,
    ) -> Literal["seen", "closed", "halted", "late"]:
        """Read until ``seen`` is true, or tell why it never was.

        Raises:
            LostVmError: ``cancel`` was set.
        """
        limit = time.monotonic() + seconds
        while not seen():
            if cancel is not None and cancel.is_set():
                raise self.lost("VM lost: cancelled")
            if not self.is_open:
                return "closed"
            if self.is_halted:
                return "halted"
            if time.monotonic() > limit:
                return "late"
            self.read()
        return "seen"

    def read(self) -> None:
        """Wait a moment for a report, then take what is new on both ports."""
        if self._selector.select(_TICK_SECONDS):
            try:
                data = self._report_port.recv(_CHUNK_BYTES)
            except ConnectionResetError:
                data = b""
            self.report += data
            self._last_output = time.monotonic()
            if not data:
                self._selector.unregister(self._report_port)
        self.read_console()

    def read_console(self) -> None:
        """Take what is new on the first port."""
        data = self._console_file.read_new()
        if data:
            self.console += data
            self._last_output = time.monotonic()

    def send(self, data: bytes) -> None:
        """Write to the report port.

        Raises:
            LostVmError: the machine is gone.
        """
        try:
            self._report_port.sendall(data)
        except OSError as exc:
            raise self.lost(f"VM lost: {exc}") from exc

    def lost(self, message: str, phase: str = "") -> LostVmError:
        """Return the error that keeps what the machine has said."""
        return LostVmError(
            message,
            console=bytes(self.console),
            report=bytes(self.report),
            phase=phase,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedVm:
    """A running machine: its process and our ends of its serial ports."""

    process: subprocess.Popen[bytes]
    console: ConsoleFile
    report: socket.socket


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
        disk = _disk(stack, spec.disk_bytes)
        channels = VmChannels(
            ram=_fd_path(ram.fileno),
            devices=tuple(_fd_path(fd) for fd in ram.filenos[1:]),
            disk=_fd_path(disk[0]) if disk else "",
            stub=_fd_path(files[0]),
            parts=tuple(_fd_path(fd) for fd in files[1:]),
            console=f"file,path={_fd_path(console.fileno)}",
            report=f"socket,fd={report_far.fileno()}",
        )
        argv = [*_die_with_parent(), *qemu_argv(spec, channels, qemu=find_qemu())]
        inherited = [*ram.filenos, *files, *disk]
        inherited += [console.fileno, report_far.fileno()]
        process = stack.enter_context(_process(argv, inherited))
        report_far.close()
        yield StartedVm(process=process, console=console, report=report)


def restore_parts(spec: VmSpec, ram: GuestRam) -> None:
    """Put the parts back where firmware has written over them.

    QEMU loads them before SeaBIOS runs, and SeaBIOS uses the 120 KiB below the last
    16 MiB of low RAM as scratch memory (seen with QEMU 7.2): those 16 MiB are slack, so
    that the handoff's own RAM ends there. Call it while the stub waits.
    """
    for part in spec.parts:
        ram.restore(part.addr, part.data)


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


# Empty, and only what the guest writes takes memory.
def _disk(stack: ExitStack, size: int) -> list[int]:
    if not size:
        return []
    fd = _memory_file(stack, "disk", b"")
    os.ftruncate(fd, size)
    return [fd]


def _fd_path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"
