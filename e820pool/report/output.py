"""Write files and directories whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.atomic import TEMPORARY_PREFIX, replace_file
from e820pool.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


__all__ = (
    "STOPPING",
    "scratch_folder",
    "undisturbed",
    "write_file",
    "write_tree",
)

# As many links as Linux follows (path_resolution(7)).
_MAX_LINKS = 40


def write_file(path: str | Path, data: bytes | str) -> None:
    """Write a file: readers see the old content or the new, never a part.

    A symbolic link is followed: what it names is written, and keeps its mode. What
    is no regular file (a pipe, a device, a descriptor such as /dev/stdout) is
    written to as it is, never replaced.

    Raises:
        InputError: the file cannot be written.
    """
    target = Path(path)
    # A name may have bytes that are no UTF-8, and a result may show the name.
    raw = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    with _failing_as(target):
        if _is_stream(target):
            _write_stream(target, raw)
            return
        place = _behind_links(target)
        old = place.stat() if place.exists() else None
        mode = 0o666 & ~_umask() if old is None else stat.S_IMODE(old.st_mode)
        replace_file(place, raw, mode=mode)
        if old is not None:
            _give_to(place, old)


# A link in a circle names nothing, and would be taken for a file to replace.
def _behind_links(target: Path) -> Path:
    place = Path(os.path.realpath(target))
    if place.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not place.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "", str(place))
    return place


def _give_to(place: Path, old: os.stat_result) -> None:
    with suppress(PermissionError):
        os.chown(place, old.st_uid, old.st_gid)


# Renaming over a device or a pipe would replace it, and over a link of /proc the file
# that a shell has opened for us.
def _is_stream(target: Path) -> bool:
    return _descriptor(target) is not None or (
        target.exists() and not target.is_file() and not target.is_dir()
    )


def _write_stream(target: Path, raw: bytes) -> None:
    number = _descriptor(target)
    handle = os.open(target, os.O_WRONLY) if number is None else os.dup(number)
    with os.fdopen(handle, "wb") as stream:
        stream.write(raw)


# The descriptor of this process that a path names (proc(5): /proc/PID/fd), if any:
# only through it is the shell's own offset kept.
def _descriptor(target: Path) -> int | None:
    own = re.compile(rf"/proc/(self|{os.getpid()})(/task/\d+)?/fd")
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(target.parent)
        if own.fullmatch(folder) and target.name.isdecimal():
            return int(target.name)
        if not target.is_symlink():
            return None
        target = Path(folder) / target.readlink()
    return None


def write_tree(
    path: str | Path,
    files: Mapping[str, bytes],
    *,
    ours: re.Pattern[str] | None = None,
    is_ours: Callable[[Path], bool] = lambda _path: True,
) -> None:
    """Write a directory of files; an old one of ours at ``path`` is replaced.

    Args:
        path: the directory; its parent must exist.
        files: relative name, with ``/`` between parts, to content.
        ours: fits the relative name of every file of such a directory. One that has
            any other file, or a link, is not replaced; without a pattern, none is.
        is_ours: whether the content, too, is that of such a directory. An empty one
            may always be filled. A replaced one keeps its mode.

    Raises:
        InputError: something else is there, or the directory cannot be written.
    """
    target = Path(path)
    with _failing_as(target):
        _validate_replaceable(target, ours, is_ours)
        with scratch_folder(TEMPORARY_PREFIX, target.parent) as fresh:
            _fill(fresh, files)
            if target.is_dir():
                old = target.stat()
                fresh.chmod(stat.S_IMODE(old.st_mode))
                _give_to(fresh, old)
            else:
                fresh.chmod(0o777 & ~_umask())
            _exchange(fresh, target)


def _fill(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _validate_replaceable(
    target: Path, ours: re.Pattern[str] | None, is_ours: Callable[[Path], bool]
) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(
            f"{str(target)!r} is there and no directory: not replaced, give "
            "another name"
        )
    if not target.is_dir() or not any(target.iterdir()):
        return
    if ours is None:
        raise InputError(
            f"{str(target)!r} is not empty, and nothing in it says that it is of "
            "e820pool: not replaced, give another name"
        )
    foreign = _first_foreign(target, ours)
    if foreign is not None:
        raise InputError(
            f"{str(target)!r} has {foreign!r}, which is not of e820pool: not "
            "replaced, give another name"
        )
    if not is_ours(target):
        raise InputError(
            f"{str(target)!r} is a directory of something else: not replaced, give "
            "another name"
        )


def _first_foreign(target: Path, ours: re.Pattern[str]) -> str | None:
    for folder, folders, files in _walk(target):
        plain = [name for name in folders if not (folder / name).is_symlink()]
        for name in sorted({*folders, *files}):
            path = folder / name
            at = path.relative_to(target).as_posix()
            if name in plain:
                # A folder without a file is nobody's.
                if not any(path.iterdir()):
                    return at
            elif path.is_symlink() or not path.is_file() or not ours.fullmatch(at):
                return at
    return None


def _walk(target: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(target, onerror=refuse):
        yield Path(folder), folders, files


def _exchange(fresh: Path, target: Path) -> None:
    # The old directory steps aside until the new one is in its place.
    if not target.is_dir():
        fresh.rename(target)
        return
    with scratch_folder(TEMPORARY_PREFIX, target.parent) as aside, undisturbed():
        target.rename(aside / "old")
        try:
            fresh.rename(target)
        except BaseException:
            (aside / "old").rename(target)
            raise


@contextmanager
def _failing_as(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        if isinstance(exc, FileNotFoundError):
            folder = Path(exc.filename or target).parent
            reason = f"there is no folder {str(folder)!r}, make it first"
        raise InputError(
            f"cannot write {str(target)!r}: {reason}",
            ident="not-writable" if isinstance(exc, PermissionError) else "",
            about=str(target),
        ) from exc
    except ValueError as exc:
        # A NUL in the name.
        raise InputError(f"cannot write {str(target)!r}: {exc}") from exc


def _umask() -> int:
    # Only /proc tells it without changing it for a moment.
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(x for x in lines if x.startswith("Umask:")).split()[1], 8)
    return 0o022


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
