"""What a machine says on its serial ports, and whether it has died of itself."""

from __future__ import annotations

import os
import selectors
import time
from typing import TYPE_CHECKING, Literal

from e820pool.errors import LabError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from e820pool.lab.started_vm import StartedVm

__all__ = ("ConsoleFile", "LostVmError", "SerialPorts")

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
        found = bytearray()
        while data := os.pread(self._fd, _CHUNK_BYTES, self._read_bytes):
            self._read_bytes += len(data)
            found += data
        return bytes(found)

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
