"""Load the planned kernel, and start it; what fails leaves nothing loaded.

The agent stands still during an attempt.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.atomic import replace_file
from e820pool.errors import E820PoolError, MachineError
from e820pool.live.agent import AgentRequest, ask_agent
from e820pool.live.inherited import KEPT_FILE, encode_kept
from e820pool.loading.kexec_loaders import memmap_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from e820pool.live.panic import PanicPlan
    from e820pool.live.plan import KexecPlan
    from e820pool.loading.kexec_segments import KexecImage
    from e820pool.sources.deposits_file import DepositChanges
    from e820pool.sources.live_machine import LiveMachine

__all__ = (
    "Attempt",
    "attempt",
    "execute_loaded",
    "give_up",
    "keep_handoff",
    "load_panic",
    "load_planned",
    "unload_loaded",
)

# arch/x86/entry/syscalls/syscall_64.tbl
_SYS_REBOOT = 169
_SYS_KEXEC_LOAD = 246

# KEXEC_ON_CRASH, include/uapi/linux/kexec.h
_ON_CRASH = 1

# include/uapi/linux/reboot.h
_MAGIC1 = 0xFEE1_DEAD
_MAGIC2 = 672_274_793
_CMD_KEXEC = 0x4558_4543

_SECONDS = 600
_LOADED = Path("/sys/kernel/kexec_loaded")
_CRASH_LOADED = Path("/sys/kernel/kexec_crash_loaded")

_OTHERS_WRITE = 0o022

# Where programs of the system are, whatever PATH root has.
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def load_planned(plan: KexecPlan) -> str:
    """Load the kernel; return what the loader said.

    Raises:
        MachineError: it failed. Nothing is loaded then: what was before does not know
            of the deposits made since.
    """
    try:
        if plan.image is not None:
            _load_image(plan.image)
            return ""
        with _folder(plan.tree, memmap_files(plan.tree_rows)):
            return _run(plan.load)
    except BaseException:
        unload_loaded()
        raise


def load_panic(plan: PanicPlan) -> str:
    """Load the capture kernel; return what kexec-tools said.

    Raises:
        MachineError: it failed. No capture kernel is loaded then.
    """
    files = {"iomem": plan.files.iomem.encode(), "kcore": plan.files.kcore}
    room = memmap_files(plan.files.room)
    files |= {f"memmap/{name}": data for name, data in room.items()}
    try:
        with _folder(plan.folder, files):
            return _run(plan.load)
    except BaseException:
        unload_loaded(panic=True)
        raise


def unload_loaded(*, panic: bool = False) -> None:
    """Drop what is loaded, if anything is; with ``panic`` what is loaded for a crash.

    Raises:
        MachineError: a kernel is loaded, and stays so.
    """
    try:
        _kexec_load(0, 0, 0, _ON_CRASH if panic else 0)
    except MachineError as exc:
        if _is_loaded(_CRASH_LOADED if panic else _LOADED):
            raise MachineError(
                "the kernel that was loaded before is still loaded, with a table that "
                f"is older than the newest deposit: {exc}"
            ) from exc


# Where there is no flag (no kexec), or none to be read, no kernel can be started.
def _is_loaded(flag: Path) -> bool:
    try:
        return flag.read_bytes().strip() == b"1"
    except OSError:
        return False


def keep_handoff(plan: KexecPlan, folder: Path) -> None:
    """Keep on disk what the kernel after the next asks for.

    A new folder is root's alone, and nothing that somebody left in it is followed.

    Raises:
        MachineError: the folder cannot be written, or others than its owner may.
    """
    target = folder / KEPT_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & _OTHERS_WRITE:
            raise MachineError(
                f"{str(folder)!r} has mode {mode:#o}: others may put a pool of theirs "
                f"there that the next kernel takes for ours; say chmod 700 {folder}"
            )
        replace_file(target, encode_kept(plan.kept).encode(), durable=True)
    except OSError as exc:
        raise MachineError(f"cannot write {str(target)!r}: {_reason(exc)}") from exc


def execute_loaded(plan: KexecPlan) -> None:
    """Start the loaded kernel: in an orderly way where systemd runs, else at once.

    Raises:
        MachineError: it did not start.
    """
    if plan.execute:
        _run(plan.execute)
    else:
        # At once, without stopping anything that runs.
        os.sync()
        _call("reboot", _SYS_REBOOT, _MAGIC1, _MAGIC2, _CMD_KEXEC, 0)


class _Segment(ctypes.Structure):
    # struct kexec_segment (include/uapi/linux/kexec.h).
    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("bufsz", ctypes.c_size_t),
        ("mem", ctypes.c_void_p),
        ("memsz", ctypes.c_size_t),
    )


# A kernel that was loaded before is replaced.
def _load_image(image: KexecImage) -> None:
    # Where the bytes lie already: a copy would need as much memory once more.
    payload = ctypes.c_char_p(image.payload)
    first = ctypes.cast(payload, ctypes.c_void_p).value or 0
    segments = (_Segment * len(image.segments))(
        *(
            _Segment(buf=first + s.at, bufsz=s.nr_bytes, mem=s.addr, memsz=s.size)
            for s in image.segments
        )
    )
    _kexec_load(image.entry, len(image.segments), ctypes.addressof(segments))


def _kexec_load(entry: int, nr_segments: int, segments: int, flags: int = 0) -> None:
    # KEXEC_ARCH_DEFAULT; without a flag a kernel that is started on request.
    _call("kexec_load", _SYS_KEXEC_LOAD, entry, nr_segments, segments, flags)


def _call(name: str, number: int, *words: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, words))
    if result:
        raise MachineError(f"{name}(2): {os.strerror(ctypes.get_errno()).lower()}")


# Only root writes to the folder, so that nobody puts another tree in its place.
@contextmanager
def _folder(folder: Path, files: Mapping[str, bytes]) -> Iterator[None]:
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as exc:
        shutil.rmtree(folder, ignore_errors=True)
        raise MachineError(f"cannot write {str(folder)!r}: {_reason(exc)}") from exc
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(argv: Sequence[str]) -> str:
    try:
        process = subprocess.run(  # noqa: S603  the command that the plan shows
            (shutil.which(argv[0], path=_PATH) or argv[0], *argv[1:]),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env=os.environ | {"PATH": _PATH},
        )
    except subprocess.TimeoutExpired as exc:
        raise MachineError(f"{argv[0]} has not ended after {_SECONDS} s") from exc
    except OSError as exc:
        raise MachineError(f"{argv[0]}: {_reason(exc)}") from exc
    output = (process.stderr + process.stdout).decode("utf-8", "replace").strip()
    if process.returncode:
        last = output.splitlines()[-1:] or [f"status {process.returncode}"]
        raise MachineError(f"{' '.join(argv[:3])} ... failed: {last[0]}")
    return output


def _reason(exc: OSError) -> str:
    return (exc.strerror or str(exc)).lower()


@dataclass(slots=True, kw_only=True)
class Attempt:
    """How far it came.

    Attributes:
        machine: what the running kernel shows.
        agent_changes: what the agent said, None without one.
        succeeded: set by the caller once the kernel is loaded.
    """

    machine: LiveMachine
    agent_changes: DepositChanges | None = None
    succeeded: bool = False


@contextmanager
def attempt(
    agent: str | None,
    *,
    acts: bool,
    gates: Callable[[], LiveMachine],
    panic: bool = False,
    wait: float = 0,
) -> Iterator[Attempt]:
    """Ask the agent; where something is to be loaded, freeze it until that is done.

    Unless ``succeeded`` is set within, a kernel that was loaded before is unloaded (its
    table is older than the newest deposit) and the agent goes on. A refusal of
    ``gates`` ends the same way.

    Args:
        agent: who keeps the deposits, None where nobody is asked.
        acts: whether a kernel is to be loaded.
        gates: reads the machine, and raises where it cannot be asked for this.
        panic: whether it is loaded for a crash. The agent goes on once it is.
        wait: how many seconds the agent's socket may need to appear.

    Raises:
        MachineError: the agent is not there or refuses; or an attempt failed, and
            the kernel that was loaded before could not be unloaded.
        BadImageError: its answer is no deposits document.
    """
    trial = None
    try:
        trial = Attempt(machine=gates())
        if agent is not None:
            word: AgentRequest = "freeze" if acts else "deposits"
            trial.agent_changes = ask_agent(agent, word, wait=wait)
        yield trial
        if acts and panic and trial.succeeded and agent is not None:
            trial.succeeded = False
            ask_agent(agent, "thaw")
            trial.succeeded = True
    except BaseException as exc:
        if acts and not (trial is not None and trial.succeeded):
            _leave_nothing(agent, exc, panic)
        raise
    if acts and not trial.succeeded:
        _leave_nothing(agent, None, panic)


# The reason why it failed is what the caller must hear, and with it what is left.
def _leave_nothing(
    agent: str | None, reason: BaseException | None, panic: bool
) -> None:
    is_left = False
    try:
        unload_loaded(panic=panic)
    except MachineError as exc:
        is_left = True
        if reason is None:
            raise
        reason.add_note(str(exc))
    if agent is not None and not is_left:
        with suppress(E820PoolError):
            ask_agent(agent, "thaw")


def give_up(agent: str | None, *, panic: bool = False) -> None:
    """Drop what is loaded (with ``panic`` for a crash), and let the agent go on.

    Raises:
        MachineError: a kernel stays loaded, or the agent is not there.
    """
    unload_loaded(panic=panic)
    if agent is not None:
        ask_agent(agent, "thaw")
