"""Read the report that the guest's init writes to the second serial port."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.errors import BadImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("GuestReport", "has_mark", "parse_guest_report")

_BEGIN = re.compile(rb"begin (\S+) (\d{1,9}) ([0-9a-f]{64})")

# Frames are a few hundred KiB; a guest that claims more is not ours.
_FRAME_LIMIT = 1 << 27


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestReport:
    """What the guest said of itself.

    Attributes:
        frames: content of each file by name: ``iomem``, ``memmap``,
            ``boot_params``, ``setup_data/0/type``, ``meminfo``, ``dmesg`` ...
        marks: how far the guest came: ``hello``, ``reported``, ``pressure``,
            ``devmem``, ``done``.
    """

    frames: dict[str, bytes] = field(default_factory=dict)
    marks: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Return whether the guest came to its planned end."""
        return "done" in self.marks

    def text(self, name: str) -> str:
        """Return a frame as text, "" when the guest did not send it."""
        return self.frames.get(name, b"").decode("latin-1")

    def setup_data(self) -> tuple[tuple[int, bytes], ...]:
        """Return ``(type, payload)`` of each setup_data node, in chain order.

        Raises:
            BadImageError: a type is not a number.
        """
        numbers = sorted(
            int(name.split("/")[1])
            for name in self.frames
            if re.fullmatch(r"setup_data/\d{1,9}/type", name)
        )
        return tuple(
            (
                _number(self.text(f"setup_data/{n}/type")),
                self.frames.get(f"setup_data/{n}/data", b""),
            )
            for n in numbers
        )

    def firmware_memmap(self) -> tuple[tuple[int, int, str], ...] | None:
        """Return /sys/firmware/memmap as ``(addr, size, type name)``, in its order.

        None when the kernel does not export it.

        Raises:
            BadImageError: a line is not of the form ``./N/field:value``.
        """
        entries: dict[int, dict[str, str]] = {}
        for line in self.text("memmap").splitlines():
            match = re.fullmatch(r"\./(\d{1,9})/(start|end|type):(.*)", line)
            if not match:
                raise BadImageError(f"report: memmap line {line[:60]!r}")
            entries.setdefault(int(match[1]), {})[match[2]] = match[3].strip()
        rows = (_memmap_row(entries[n]) for n in sorted(entries))
        return tuple(rows) if entries else None


def has_mark(data: bytes | bytearray, name: str) -> bool:
    """Return whether a report in progress holds the whole line of a mark."""
    return f"mark {name}\n".encode() in data


def parse_guest_report(data: bytes) -> GuestReport:
    """Return the report as far as it goes; a frame cut short is left out.

    Raises:
        BadImageError: a complete frame's length or checksum is wrong.
    """
    frames: dict[str, bytes] = {}
    marks: list[str] = []
    lines = iter(data.replace(b"\r\n", b"\n").split(b"\n"))
    for line in lines:
        if begin := _BEGIN.search(line):
            name = begin[1].decode("latin-1")
            body = _take_body(lines, name)
            if body is None:
                break
            frames[name] = _checked(name, body, int(begin[2]), begin[3].decode())
        elif (at := line.find(b"mark ")) >= 0:
            marks.append(line[at + 5 :].decode("latin-1"))
    return GuestReport(frames=frames, marks=tuple(marks))


# The base64 lines up to the one that closes the frame; None if that never comes.
def _take_body(lines: Iterator[bytes], name: str) -> bytes | None:
    body: list[bytes] = []
    closing = b"end " + name.encode("latin-1")
    for line in lines:
        if line == closing:
            return b"".join(body)
        body.append(line)
    return None


def _checked(name: str, body: bytes, size: int, digest: str) -> bytes:
    if size > _FRAME_LIMIT:
        raise BadImageError(
            f"report: {name} claims {size:#x} bytes, the limit is {_FRAME_LIMIT:#x}"
        )
    try:
        content = base64.b64decode(body, validate=True)
    except binascii.Error as exc:
        raise BadImageError(f"report: {name} is not base64: {exc}") from exc
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise BadImageError(
            f"report: {name} has {len(content):#x} bytes that do not match its "
            f"header ({size:#x} bytes, SHA-256 {digest[:12]}...)"
        )
    return content


def _memmap_row(entry: dict[str, str]) -> tuple[int, int, str]:
    start, end = _number(entry.get("start", "")), _number(entry.get("end", ""))
    return start, end + 1 - start, entry.get("type", "")


def _number(text: str) -> int:
    try:
        return int(text.strip()[:32], 0)
    except ValueError as exc:
        raise BadImageError(f"report: {text[:32]!r} is not a number") from exc
