"""Start one virtual machine with its serial ports, and leave nothing behind."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.errors import LabError
from e820pool.lab.qemu import VmChannels, VmSpec, find_qemu, qemu_argv
from e820pool.lab.serial_ports import ConsoleFile
from e820pool.loading.multiboot_stub import build_stub_elf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.lab.guest_ram import GuestRam

__all__ = ("StartedVm", "restore_parts", "started_vm")


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
