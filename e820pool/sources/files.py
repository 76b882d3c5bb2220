"""Read files and directories without trusting their size, shape or readability."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from itertools import islice
from typing import IO, TYPE_CHECKING

from e820pool.errors import BadImageError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = (
    "INPUT_LIMIT",
    "bounded_lines",
    "is_directory",
    "is_longer",
    "list_names",
    "numbered_entries",
    "opened",
    "parse_hex_attribute",
    "read_attribute",
    "read_file",
    "read_inside",
    "read_large_file",
    "read_stream",
)

INPUT_LIMIT = 64 << 20
"""Bytes of the largest input that is read; a day of kernel log has less."""

# One page is all that a sysfs attribute can hold.
_ATTRIBUTE_LIMIT = 4096

# /sys/firmware/memmap and setup_data/ hold one directory an entry; a kernel table
# has at most 3200, so that more than this is something else.
_NAMES_LIMIT = 1 << 20
_NUMBER_DIGITS = 9

_U64_LIMIT = 1 << 64
_PATH_SHOWN = 300

# What is passed over to reach the end of a line that is too long to be read. A device
# that never ends a line (/dev/zero) would be read for ever.
_SKIP_LIMIT = 1 << 30


def is_directory(path: Path) -> bool:
    """Return whether a path names a directory; what cannot be looked up is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _shown_path(path: Path) -> str:
    """Return a path as it is put in a message: quoted, on one line, not endless."""
    return repr(str(path))[:_PATH_SHOWN]


def is_longer(path: Path, limit: int) -> bool:
    """Return whether a regular file has more bytes; False if that is not known."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > limit


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be read bit by bit; errors of that, too, are InputErrors."""
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as exc:
        raise InputError(f"cannot read {_shown_path(path)}: {_reason(exc)}") from exc


def read_inside(path: Path, limit: int = INPUT_LIMIT, *, empty: bool = False) -> bytes:
    """Return the bytes of a file of a directory, as :func:`read_file` does.

    Nobody has named it, so that a pipe in its place is not waited for.

    Raises:
        InputError: it cannot be read, or is a pipe.
        BadImageError: as :func:`read_file`.
    """
    with suppress(OSError, ValueError):
        if stat.S_ISFIFO(path.stat().st_mode):
            raise InputError(f"{_shown_path(path)} is a pipe: want a file")
    return read_file(path, limit, empty=empty)


def read_file(path: Path, limit: int = INPUT_LIMIT, *, empty: bool = False) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: the file cannot be opened or read.
        BadImageError: it is longer than ``limit`` bytes, or empty and not allowed
            to be so.
    """
    try:
        with path.open("rb") as stream:
            return read_stream(stream, str(path), limit, empty=empty)
    except OSError as exc:
        raise InputError(
            f"cannot read {_shown_path(path)}: {_reason(exc)}",
            ident="file-missing" if isinstance(exc, FileNotFoundError) else "",
            about=str(path),
        ) from exc
    except ValueError as exc:
        # A NUL in the name.
        raise InputError(f"cannot read {_shown_path(path)}: {exc}") from exc


def read_large_file(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file, with no more memory than it needs.

    Raises:
        InputError: it cannot be read.
        BadImageError: it is empty, or longer than ``limit`` bytes.
    """
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        size = 0
    return read_file(path, min(max(size, 1), limit))


def read_stream(
    stream: IO[bytes], name: str, limit: int = INPUT_LIMIT, *, empty: bool = False
) -> bytes:
    """Return what is left of a stream; errors as :func:`read_file`."""
    data = stream.read(limit + 1)
    if not data and not empty:
        raise BadImageError(f"{name!r} is empty: 0 bytes")
    if len(data) > limit:
        raise BadImageError(f"{name!r} is longer than the limit of {limit:#x} bytes")
    return data


def bounded_lines(
    stream: IO[bytes], limit: int, *, passed: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """Yield the lines of a stream, of one over ``limit`` bytes so many and one more.

    Args:
        stream: what is left of it.
        limit: bytes of the longest line that is read.
        passed: is told how many bytes were read, after each time.

    Raises:
        BadImageError: a line does not end within a GiB.
    """
    while line := stream.readline(limit + 1):
        yield line
        passed(len(line))
        skipped = 0
        while len(line) > limit and not line.endswith(b"\n"):
            line = stream.readline(limit + 1)
            passed(len(line))
            skipped += len(line)
            if skipped > _SKIP_LIMIT:
                raise BadImageError(
                    f"a line does not end after {skipped:#x} bytes more than are read: "
                    f"the limit is {_SKIP_LIMIT:#x}, what follows was not read"
                )


def read_attribute(path: Path) -> str:
    """Return a sysfs attribute's text without its newline; errors as read_file."""
    return read_inside(path, _ATTRIBUTE_LIMIT).decode("utf-8", "replace").strip()


def parse_hex_attribute(path: Path, limit: int = _U64_LIMIT) -> int:
    """Return the number in an attribute such as ``0x9fbff``.

    Raises:
        BadImageError: it is no number, or not below ``limit``.
    """
    text = read_attribute(path)
    try:
        value = int(text[:32], 16)
    except ValueError as exc:
        raise BadImageError(f"{str(path)!r} holds {text[:32]!r}, no number") from exc
    if not 0 <= value < limit:
        raise BadImageError(f"{str(path)!r} holds {text[:32]}: the limit is {limit:#x}")
    return value


def numbered_entries(path: Path) -> list[tuple[int, Path]]:
    """Return the entries of a directory whose names are numbers, in their order.

    Raises:
        InputError: the directory cannot be listed.
        BadImageError: there are absurdly many.
    """
    return sorted(
        (int(name), path / name)
        for name in list_names(path)
        if name.isascii() and name.isdigit() and len(name) <= _NUMBER_DIGITS
    )


def list_names(path: Path) -> list[str]:
    """Return the names in a directory, in no order; errors as numbered_entries."""
    try:
        with os.scandir(path) as listing:
            names = [entry.name for entry in islice(listing, _NAMES_LIMIT + 1)]
    except OSError as exc:
        raise InputError(f"cannot list {str(path)!r}: {_reason(exc)}") from exc
    if len(names) > _NAMES_LIMIT:
        raise BadImageError(f"{str(path)!r} holds more than {_NAMES_LIMIT:#x} entries")
    return names


def _reason(exc: OSError) -> str:
    reason = exc.strerror or str(exc)
    if isinstance(exc, PermissionError):
        reason += " (root may read it)"
    return reason.lower()
