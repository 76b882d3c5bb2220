"""The lab's folder of things that are expensive to get again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from e820pool.errors import LabError

__all__ = ("cache_folder", "write_atomically")


def cache_folder(name: str = "") -> Path:
    """Return (and make) a folder below XDG_CACHE_HOME/e820pool.

    Raises:
        LabError: it cannot be made.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path.home() / ".cache"
    folder = base / "e820pool" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise LabError(f"cache folder: {exc}") from exc
    return folder


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that readers see all of it or what was there.

    Raises:
        LabError: the folder cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as exc:
        raise LabError(f"cache: {exc}") from exc
