"""Replace a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ("TEMPORARY_PREFIX", "StrPath", "replace_file")

StrPath = str | os.PathLike[str]
"""What names a file."""

TEMPORARY_PREFIX = ".e820pool-"
"""How the name of a file begins that is not yet in its place."""


def replace_file(
    target: Path, data: bytes, *, mode: int | None = None, durable: bool = False
) -> None:
    """Put ``data`` at ``target``: readers see the old content or the new.

    The new file is made beside the old one under a name that nobody can have taken
    (mkstemp(3)), so that no link is followed and the rename stays in one file system.

    Args:
        target: where it goes; a link there is replaced, not followed.
        data: the content.
        mode: permission bits; None leaves them at 0600.
        durable: whether file and name are on disk when this returns.

    Raises:
        OSError: it cannot be written; what was there still is.
    """
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
