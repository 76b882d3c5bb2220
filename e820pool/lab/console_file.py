"""The first serial port of a machine: a file in memory that QEMU writes and we read."""

from __future__ import annotations

import os

__all__ = ("ConsoleFile",)

_CHUNK_BYTES = 1 << 16


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
