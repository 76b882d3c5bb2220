"""Load the planned kernel, and start it; what fails leaves nothing loaded."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.atomic import replace_file
from e820pool.errors import MachineError
from e820pool.live.kept import KEPT_FILE, encode_kept
from e820pool.live.kexec_syscall import load_image, reboot_into_loaded, unload
from e820pool.loading.kexec_loaders import memmap_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from e820pool.live.panic import PanicPlan
    from e820pool.live.plan import KexecPlan

__all__ = (
    "execute_loaded",
    "keep_handoff",
    "load_panic",
    "load_planned",
    "unload_loaded",
)

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
            load_image(plan.image)
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
        unload(panic=panic)
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
        reboot_into_loaded()


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
