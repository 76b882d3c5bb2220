"""Write files and directories whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import InputError
from e820pool.report.scratch import scratch_folder, undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ("write_file", "write_tree")

# Beside the target, so that a rename never crosses file systems.
_PREFIX = ".e820pool-"


def write_file(path: str | Path, data: bytes | str) -> None:
    """Write a file: readers see the old content or the new, never a part.

    Raises:
        InputError: the file cannot be written.
    """
    target = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    with _failing_as(target):
        if target.exists() and not target.is_file():
            # A device or a pipe: renaming over it would replace it.
            target.write_bytes(raw)
            return
        handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(raw)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_tree(
    path: str | Path,
    files: Mapping[str, bytes],
    *,
    is_ours: Callable[[Path], bool],
) -> None:
    """Write a directory of files; an old one of ours at ``path`` is replaced.

    Args:
        path: the directory; its parent must exist.
        files: relative name, with ``/`` between parts, to content.
        is_ours: whether a directory that is there may be replaced; an empty one
            always may.

    Raises:
        InputError: something else is there, or the directory cannot be written.
    """
    target = Path(path)
    with _failing_as(target):
        _validate_replaceable(target, is_ours)
        with scratch_folder(_PREFIX, target.parent) as made:
            made.chmod(0o777 & ~_umask())
            _fill(made, files)
            _exchange(made, target)


def _fill(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _validate_replaceable(target: Path, is_ours: Callable[[Path], bool]) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(
            f"{str(target)!r} is there and no directory: not replaced, give "
            "another name"
        )
    if target.is_dir() and any(target.iterdir()) and not is_ours(target):
        raise InputError(
            f"{str(target)!r} is a directory of something else: not replaced, give "
            "another name"
        )


def _exchange(made: Path, target: Path) -> None:
    # The old directory steps aside until the new one is in its place.
    if not target.is_dir():
        made.rename(target)
        return
    with scratch_folder(_PREFIX, target.parent) as aside, undisturbed():
        target.rename(aside / "old")
        try:
            made.rename(target)
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
            reason = f"there is no folder {str(target.parent)!r}, make it first"
        raise InputError(f"cannot write {str(target)!r}: {reason}") from exc
    except ValueError as exc:
        # A NUL in the name.
        raise InputError(f"cannot write {str(target)!r}: {exc}") from exc


def _umask() -> int:
    # Only /proc tells it without changing it for a moment.
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(x for x in lines if x.startswith("Umask:")).split()[1], 8)
    return 0o022
