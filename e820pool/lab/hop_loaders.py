"""The loaders: what each is given, and how the agent is told to use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.errors import CapacityError, InputError
from e820pool.lab.chain_port import AgentError
from e820pool.lab.hop_mailbox import deliver
from e820pool.lab.kexec_tools import KEXEC_PATH
from e820pool.loading.kexec_segments import kexec_image
from e820pool.loading.kexec_tree import memmap_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e820pool.lab.chain_port import ChainPort
    from e820pool.lab.guest_ram import GuestRam
    from e820pool.loading.bind import BoundKernel
    from e820pool.loading.capture import CrashFiles

__all__ = ("NextKernel", "load_next")

_LOAD_SECONDS = 180

# A command line goes through two shells' worth of quoting: none of these may be in it.
_NOT_QUOTABLE = "'\n"

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
        image: its whole file.
        initrd: the next guest's user space.
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
    _LOADERS[how](port, ram, following)


def _ours(port: ChainPort, ram: GuestRam, following: NextKernel) -> None:
    image = kexec_image(following.bound)
    deliver(port, ram, image.payload)
    lines = [f"load {image.entry} {len(image.segments)}"]
    lines += [f"{s.at} {s.nr_bytes} {s.addr} {s.size}" for s in image.segments]
    port.command("\n".join(lines), _LOAD_SECONDS)


# The tree has the deposits of this kernel, too, so that kexec-tools put no segment
# there.
def _kexec_load(port: ChainPort, ram: GuestRam, following: NextKernel) -> None:
    tree = memmap_archive(following.bound.handoff.table.rows())
    _save(port, ram, _files(following) | {_ARCHIVE: tree})
    _mount_tree(port)
    _run(port, f"{KEXEC_PATH} -c -l {_arguments(following)}")


def _mount_tree(port: ChainPort) -> None:
    _run(port, f"busybox mkdir -p {_TREE}")
    _run(port, f"busybox tar -x -f {_ARCHIVE} -C {_TREE}")
    _run(port, f"busybox mount --bind {_TREE} /sys/firmware/memmap")


def _kexec_file(port: ChainPort, ram: GuestRam, following: NextKernel) -> None:
    _save(port, ram, _files(following))
    _run(port, f"{KEXEC_PATH} -s -l {_arguments(following)}")


def _panic_file(port: ChainPort, ram: GuestRam, following: NextKernel) -> None:
    _save(port, ram, _files(following))
    _run(port, f"{KEXEC_PATH} -s -p {_arguments(following)}")


def _panic_load(port: ChainPort, ram: GuestRam, following: NextKernel) -> None:
    _save(port, ram, _files(following))
    _run(port, f"{KEXEC_PATH} -c -p {_arguments(following)}")


# From these two files kexec-tools make the headers of the dump; the tree is where they
# may put what they load.
def _panic_ours(port: ChainPort, ram: GuestRam, following: NextKernel) -> None:
    crash = following.crash
    if crash is None:
        raise InputError("loader 'panic-ours' without files of the kernel to crash")
    files = {_IOMEM: crash.iomem.encode(), _KCORE: crash.kcore}
    _save(port, ram, _files(following) | files | {_ARCHIVE: memmap_archive(crash.room)})
    _mount_tree(port)
    _run(port, f"busybox mount --bind {_IOMEM} /proc/iomem")
    _run(port, f"busybox mount --bind {_KCORE} /proc/kcore")
    _run(port, f"{KEXEC_PATH} -c -p {_arguments(following)}")


_LOADERS: Mapping[str, Callable[[ChainPort, GuestRam, NextKernel], None]] = {
    "ours": _ours,
    "kexec-load": _kexec_load,
    "kexec-file": _kexec_file,
    "kexec-file-memmap": _kexec_file,
    "panic-file": _panic_file,
    "panic-load": _panic_load,
    "panic-ours": _panic_ours,
}


def _files(following: NextKernel) -> dict[str, bytes]:
    return {"/tmp/kernel": following.image, "/tmp/initrd": following.initrd}  # noqa: S108


def _arguments(following: NextKernel) -> str:
    files = "/tmp/kernel --initrd=/tmp/initrd"  # noqa: S108  in the guest
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
