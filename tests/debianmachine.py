"""A Debian machine in QEMU, as its administrator and its hypervisor see it.

Its firmware is OVMF, its disk that of :mod:`debiansystem`, which is not written to. The
administrator is a root shell on the second serial port; the hypervisor watches pages of
its memory: each is made a hole of the file behind it, which is filled by whoever reads
or writes it.
"""

import re
import select
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from efimachine import OVMF

from e820pool.extents import ExtentSet
from e820pool.lab.guest_ram import GuestRam, RamLayout, validate_page_granularity
from e820pool.lab.qemu import find_qemu
from e820pool.lab.started_vm import _die_with_parent, _pair, _process

GIB = 1 << 30
# A q35 has 2 GiB below 4 GiB, and all the rest above.
LAYOUT = RamLayout(low_bytes=2 * GIB)
_ANSWER = re.compile(rb"@@ (\d+) (\d+)\n")
_UP = re.compile(rb"@@up (\S+)\n")


class LostMachineError(Exception):
    """A machine that does not answer; its console is in the message."""


class DebianMachine:
    """A machine that runs."""

    def __init__(self, port, console, ram):
        self.ram = ram
        self.watched = ExtentSet()
        self._port, self._console = port, console
        self._heard = bytearray()

    def _wait(self, pattern, seconds, *, sized=False):
        deadline = time.monotonic() + seconds
        while not (found := pattern.search(bytes(self._heard))):
            self._hear(deadline)
        end = found.end() + (int(found[2]) if sized else 0)
        while len(self._heard) < end:
            self._hear(deadline)
        data = bytes(self._heard[found.end() : end])
        del self._heard[:end]
        return found, data

    def _hear(self, deadline):
        ready, _, _ = select.select(
            [self._port], [], [], max(0, deadline - time.monotonic())
        )
        data = self._port.recv(1 << 16) if ready else b""
        if not data:
            raise LostMachineError(
                f"{bytes(self._heard[-500:])}\n{self.console()[-6000:]}"
            )
        self._heard += data

    def console(self):
        """Return what the machine has printed so far."""
        return Path(self._console).read_text(encoding="utf-8", errors="replace")

    def wait_until_up(self, seconds=1200):
        """Return the release of the kernel that is up."""
        found, _ = self._wait(_UP, seconds)
        return found[1].decode()

    def wait_for_words(self, words, seconds):
        """Wait until the console has said this."""
        deadline = time.monotonic() + seconds
        while words not in self.console():
            if time.monotonic() > deadline:
                raise LostMachineError(self.console()[-6000:])
            time.sleep(0.1)

    def send(self, command):
        """Give a shell command and do not wait."""
        self._port.sendall(command.encode() + b"\n")

    def ask(self, command, seconds=900):
        """Return status and output of a shell command."""
        self.send(command)
        found, data = self._wait(_ANSWER, seconds, sized=True)
        return int(found[1]), data.decode("utf-8", "replace")

    def run(self, command, seconds=900):
        """Return the output of a shell command that must succeed."""
        status, text = self.ask(command, seconds)
        assert status == 0, f"{command}: status {status}\n{text[-4000:]}"
        return text

    def watch(self, pages):
        """From now on see who touches these pages; no others."""
        self.ram.clear(pages - self.watched)
        self.watched = pages

    def touched(self):
        """Return the watched pages that somebody has read or written."""
        return self.ram.touched() & self.watched


@contextmanager
def debian_machine(disk, folder):
    """Start the machine; it ends with the context, and with this process."""
    validate_page_granularity()
    console = folder / "console.log"
    console.touch()
    with GuestRam(LAYOUT) as ram, ExitStack() as stack:
        near, far = _pair(stack)
        memory = f"memory-backend-file,id=ram,size={2 * GIB}B,share=on"
        memory += f",mem-path=/proc/self/fd/{ram.fileno}"
        argv = [
            *_die_with_parent(),
            *(
                find_qemu(),
                "-machine",
                "q35,memory-backend=ram",
                "-accel",
                "tcg,thread=multi,tb-size=96",
            ),
            *("-cpu", "qemu64,-cx16", "-smp", "2"),
            *("-bios", str(OVMF), "-m", "2G", "-object", memory),
            *("-nodefaults", "-display", "none", "-no-user-config"),
            *("-drive", f"file={disk},format=raw,if=virtio,snapshot=on"),
            *("-serial", f"file:{console}"),
            *("-chardev", f"socket,fd={far.fileno()},id=port"),
            *("-serial", "chardev:port"),
        ]
        with _process(argv, [ram.fileno, far.fileno()]):
            far.close()
            yield DebianMachine(near, console, ram)
