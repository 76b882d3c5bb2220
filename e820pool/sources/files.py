"""Read files and directories without trusting their size, shape or readability."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from e820pool.errors import BadImageError, InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = (
    "ATTRIBUTE_LIMIT",
    "INPUT_LIMIT",
    "numbered_entries",
    "parse_hex_attribute",
    "read_attribute",
    "read_file",
    "read_stream",
)

INPUT_LIMIT = 64 << 20
"""Bytes of the largest input that is read; a day of kernel log has less."""

# One page is all that a sysfs attribute can hold.
ATTRIBUTE_LIMIT = 4096

# /sys/firmware/memmap and setup_data/ hold one directory an entry; a kernel table
# has at most 3200, so that more than this is something else.
_NUMBERED_LIMIT = 1 << 20

_U64_LIMIT = 1 << 64


def read_file(path: Path, limit: int = INPUT_LIMIT) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: the file cannot be opened or read.
        BadImageError: it is empty, or longer than ``limit`` bytes.
    """
    try:
        with path.open("rb") as stream:
            return read_stream(stream, str(path), limit)
    except OSError as exc:
        raise InputError(f"cannot read {str(path)!r}: {_reason(exc)}") from exc
    except ValueError as exc:
        # A NUL in the name.
        raise InputError(f"cannot read {str(path)!r}: {exc}") from exc


def read_stream(stream: IO[bytes], name: str, limit: int = INPUT_LIMIT) -> bytes:
    """Return what is left of a stream; BadImageError if nothing or over ``limit``."""
    data = stream.read(limit + 1)
    if not data:
        raise BadImageError(f"{name!r} is empty: 0 bytes")
    if len(data) > limit:
        raise BadImageError(f"{name!r} is longer than the limit of {limit:#x} bytes")
    return data


def read_attribute(path: Path) -> str:
    """Return a sysfs attribute's text without its newline; errors as read_file."""
    data = read_file(path, ATTRIBUTE_LIMIT)
    return data.decode("utf-8", "replace").strip()


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
    found: list[tuple[int, Path]] = []
    try:
        with os.scandir(path) as listing:
            for entry in listing:
                if entry.name.isascii() and entry.name.isdigit():
                    found.append((int(entry.name[:32]), path / entry.name))
                if len(found) > _NUMBERED_LIMIT:
                    raise BadImageError(
                        f"{str(path)!r} holds more than {_NUMBERED_LIMIT:#x} entries"
                    )
    except OSError as exc:
        raise InputError(f"cannot list {str(path)!r}: {_reason(exc)}") from exc
    return sorted(found)


def _reason(exc: OSError) -> str:
    reason = exc.strerror or str(exc)
    if isinstance(exc, PermissionError):
        reason += " (root may read it)"
    return reason.lower()
