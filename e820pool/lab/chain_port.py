"""Talk to the guest of a chain: wait for marks, give commands, load what is next.

The logs are cut by hop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.errors import CapacityError, InputError, LabError
from e820pool.extents import PAGE_SIZE, ExtentSet
from e820pool.lab.guest_report import has_mark
from e820pool.lab.initramfs import KEXEC_PATH
from e820pool.lab.started_vm import SerialPorts
from e820pool.loading.kexec_loaders import memmap_archive
from e820pool.loading.kexec_segments import kexec_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e820pool.lab.guest_ram import GuestRam
    from e820pool.loading.bind import BoundKernel
    from e820pool.loading.capture import CrashFiles
    from e820pool.range_lists import StartEnd

__all__ = ("AgentError", "ChainPort", "NextKernel", "deliver", "load_next", "runs_of")


class AgentError(LabError):
    """The agent refused a command, or a system call of its failed."""


class ChainPort(SerialPorts):
    """Both serial ports of a machine, of which the second is the agent's."""

    def wait_for(self, what: str, seconds: float, seen: Callable[[], bool]) -> None:
        """Read until ``seen`` is true.

        Raises:
            LostVmError: the machine ended, halted, or took too long.
        """
        ended = self.wait(seen, seconds)
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


def runs_of(lines: list[str]) -> list[StartEnd]:
    """Return ``(start_pfn, end_pfn)`` of the agent's ``run`` lines, in their order.

    Raises:
        AgentError: a line is another.
    """
    runs = []
    for line in lines:
        word, _, rest = line.partition(" ")
        numbers = rest.split()
        if word != "run" or len(numbers) != 2 or not all(map(str.isdigit, numbers)):
            raise AgentError(f"agent: {line[:60]!r} is no run of frames")
        start, count = map(int, numbers)
        runs.append((start, start + count))
    ExtentSet(runs)
    return runs


# The lines from ``start`` on, once the last one is an answer's.
def _answer(report: bytearray, start: int) -> list[str] | None:
    text = bytes(report[start:]).replace(b"\r\n", b"\n").decode("latin-1")
    whole, newline, _ = text.rpartition("\n")
    lines = whole.split("\n")
    if not newline or not (lines[-1] == "ok" or lines[-1].startswith("error ")):
        return None
    return lines


_LOAD_SECONDS = 180
_BUFFER_SECONDS = 120

# A command line goes through two shells' worth of quoting: none of these may be in it.
_NOT_QUOTABLE = "'\n"

# Of kexec: by kexec_load(2) or kexec_file_load(2), to be started or for a crash.
_OPTIONS = {
    "kexec-load": "-c -l",
    "kexec-file": "-s -l",
    "kexec-file-memmap": "-s -l",
    "panic-file": "-s -p",
    "panic-load": "-c -p",
    "panic-ours": "-c -p",
}

_KERNEL = "/tmp/kernel"  # noqa: S108  in the guest
_INITRD = "/tmp/initrd"  # noqa: S108  in the guest
_TREE = "/tmp/memmap"  # noqa: S108  in the guest
_ARCHIVE = f"{_TREE}.tar"
_IOMEM = "/tmp/iomem"  # noqa: S108  in the guest
_KCORE = "/tmp/kcore.ours"  # noqa: S108  in the guest


@dataclass(frozen=True, slots=True, kw_only=True)
class NextKernel:
    """Everything about the kernel that is started next.

    Attributes:
        bound: as our own loader places it; of the handoff the others take the table
            (as a tree) and the command line.
        has_same_line: whether its command line is that of the running kernel, which
            kexec-tools can take over.
        crash: what kexec-tools are to read in place of the kernel's own files, None
            where they read those.
    """

    bound: BoundKernel
    image: bytes
    initrd: bytes
    has_same_line: bool = False
    crash: CrashFiles | None = None


def load_next(port: ChainPort, ram: GuestRam, following: NextKernel, how: str) -> None:
    """Make the guest load the next kernel; nothing is started yet.

    ``how`` is one of :data:`e820pool.lab.chain_model.LOADERS`.

    Raises:
        AgentError: the system call or kexec-tools refuse.
        InputError, CapacityError: the handoff cannot go this way.
    """
    if how == "ours":
        image = kexec_image(following.bound)
        deliver(port, ram, image.payload)
        lines = [f"load {image.entry} {len(image.segments)}"]
        lines += [f"{s.at} {s.nr_bytes} {s.addr} {s.size}" for s in image.segments]
        port.command("\n".join(lines), _LOAD_SECONDS)
        return
    files = {_KERNEL: following.image, _INITRD: following.initrd}
    if how == "kexec-load":
        # The tree has the deposits of this kernel, too, so that kexec-tools put no
        # segment there.
        rows = following.bound.handoff.table.rows()
        files[_ARCHIVE] = memmap_archive(rows)
    elif how == "panic-ours":
        crash = following.crash
        if crash is None:
            raise InputError("loader 'panic-ours' without files of the kernel to crash")
        # From two files kexec-tools make the headers of the dump; the tree is where
        # they may put what they load.
        files |= {_IOMEM: crash.iomem.encode(), _KCORE: crash.kcore}
        files[_ARCHIVE] = memmap_archive(crash.room)
    _save(port, ram, files)
    if _ARCHIVE in files:
        _run(port, f"busybox mkdir -p {_TREE}")
        _run(port, f"busybox tar -x -f {_ARCHIVE} -C {_TREE}")
        _run(port, f"busybox mount --bind {_TREE} /sys/firmware/memmap")
    for file, place in ((_IOMEM, "/proc/iomem"), (_KCORE, "/proc/kcore")):
        if file in files:
            _run(port, f"busybox mount --bind {file} {place}")
    _run(port, f"{KEXEC_PATH} {_OPTIONS[how]} {_arguments(following)}")


def deliver(port: ChainPort, ram: GuestRam, payload: bytes) -> None:
    """Put ``payload`` into a locked buffer of the agent.

    A serial port would take minutes for a kernel; the pages of a locked buffer are
    known by their frames, and the file that backs them is at hand.

    Raises:
        AgentError: the guest has no memory for it.
        LabError: the buffer is not where a page table can be.
    """
    lines = port.command(f"buffer {len(payload)}", _BUFFER_SECONDS)
    at = 0
    for start_pfn, end_pfn in runs_of(lines):
        size = (end_pfn - start_pfn) * PAGE_SIZE
        ram.write(start_pfn, payload[at : at + size])
        at += size
    if at < len(payload):
        raise LabError(
            f"the agent's buffer has {at:#x} bytes, the payload {len(payload):#x}"
        )


def _arguments(following: NextKernel) -> str:
    files = f"{_KERNEL} --initrd={_INITRD}"
    if following.has_same_line:
        return f"{files} --reuse-cmdline"
    line = following.bound.handoff.cmdline.decode("latin-1")
    if any(letter in line for letter in _NOT_QUOTABLE):
        raise InputError(f"command line {line[:60]!r} cannot be quoted for a shell")
    return f"{files} --command-line='{line}'"


def _save(port: ChainPort, ram: GuestRam, files: Mapping[str, bytes]) -> None:
    deliver(port, ram, b"".join(files.values()))
    at = 0
    for path, data in files.items():
        port.command(f"save {at} {len(data)} {path}", _LOAD_SECONDS)
        at += len(data)
    # Its pages are wanted for the copies that the kernel makes.
    port.command("buffer 4096", _LOAD_SECONDS)


def _run(port: ChainPort, command: str) -> None:
    if len(command) > 4000:
        raise CapacityError(
            f"command of {len(command)} bytes does not fit: the agent reads 4000"
        )
    said = port.command(f"run {command}", _LOAD_SECONDS)
    if said[-1:] != ["status 0"]:
        raise AgentError(f"{command[:60]!r} failed in the guest: {' '.join(said[-1:])}")
