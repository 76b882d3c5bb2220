"""Load the planned kernel, and start it; what fails leaves nothing loaded."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from e820pool.errors import MachineError
from e820pool.live.kept import KEPT_FILE, encode_kept
from e820pool.live.kexec_syscall import load_image, reboot_into_loaded, unload
from e820pool.loading.kexec_tree import memmap_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from e820pool.live.plan import KexecPlan

__all__ = ("execute_loaded", "keep_handoff", "load_planned", "unload_loaded")

_SECONDS = 600


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
        with _tree(plan):
            return _run(plan.load)
    except BaseException:
        unload_loaded()
        raise


def unload_loaded() -> None:
    """Drop what is loaded; a kernel that refuses has nothing that could be started."""
    try:
        unload()
    except MachineError:
        return


def keep_handoff(plan: KexecPlan, folder: Path) -> None:
    """Keep on disk what the kernel after the next asks for.

    Raises:
        MachineError: the folder cannot be written.
    """
    target = folder / KEPT_FILE
    made = target.with_suffix(".new")
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        made.write_text(encode_kept(plan.kept), encoding="utf-8")
        made.replace(target)
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
def _tree(plan: KexecPlan) -> Iterator[None]:
    tree = plan.tree
    try:
        tree.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(tree, ignore_errors=True)
        for name, data in memmap_files(plan.tree_rows).items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as exc:
        shutil.rmtree(tree, ignore_errors=True)
        raise MachineError(f"cannot write {str(tree)!r}: {_reason(exc)}") from exc
    try:
        yield
    finally:
        shutil.rmtree(tree, ignore_errors=True)


def _run(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the command that the plan shows
            argv, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise MachineError(f"{argv[0]} has not ended after {_SECONDS} s") from exc
    except OSError as exc:
        raise MachineError(f"{argv[0]}: {_reason(exc)}") from exc
    said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
    if done.returncode:
        last = said.splitlines()[-1:] or [f"status {done.returncode}"]
        raise MachineError(f"{' '.join(argv[:3])} ... failed: {last[0]}")
    return said


def _reason(exc: OSError) -> str:
    return (exc.strerror or str(exc)).lower()
