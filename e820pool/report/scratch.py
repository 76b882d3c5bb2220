"""Folders for a while, gone whatever stops the program."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("STOPPING", "scratch_folder", "undisturbed")

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a command to stop, which cleans up then."""


@contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a folder and remove it in the end, whatever is in it.

    Args:
        prefix: how its name begins.
        parent: where it is; None takes the system's place for such folders.

    Raises:
        OSError: it cannot be made.
    """
    folder = None
    try:
        with undisturbed():
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        yield folder
    finally:
        if folder is not None:
            with undisturbed():
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and its like: the first that came is raised at the end.

    Blocking signals would not do: numpy's threads would take them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled elsewhere
        return
    late: list[int] = []
    before = {
        number: signal.signal(number, lambda came, _frame: late.append(came))
        for number in STOPPING
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if late:
            signal.raise_signal(late[0])
