"""The lab's folder of things that are expensive to get again."""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.atomic import replace_file
from e820pool.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("cache_below", "cache_folder", "write_atomically")

_base: ContextVar[Path | None] = ContextVar("e820pool_cache", default=None)


def cache_folder(name: str = "") -> Path:
    """Return (and make) a folder below XDG_CACHE_HOME/e820pool, or `cache_below`'s.

    Raises:
        LabError: it cannot be made.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path.home() / ".cache"
    folder = (_base.get() or base / "e820pool") / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise LabError(
            f"cannot make the cache folder {str(folder)!r}: {reason}; XDG_CACHE_HOME "
            "says where it goes"
        ) from exc
    return folder


@contextmanager
def cache_below(folder: Path | None) -> Iterator[None]:
    """Keep the cache in ``folder`` for the caller's block; None changes nothing."""
    before = _base.set(folder or _base.get())
    try:
        yield
    finally:
        _base.reset(before)


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that readers see all of it or what was there.

    Raises:
        LabError: the folder cannot be written.
    """
    try:
        replace_file(path, data, durable=True)
    except OSError as exc:
        raise LabError(f"cache: {exc}") from exc
