"""Initial RAM file systems in the kernel's newc format, and kexec-tools for one.

Those are this machine's own program and its libraries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from e820pool.errors import InputError, LabError
from e820pool.lab.run_tool import run_tool
from e820pool.loading.kexec_loaders import find_kexec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = (
    "KEXEC_PATH",
    "DeviceNumber",
    "InitramfsEntry",
    "device_entry",
    "directory",
    "encode_newc",
    "kexec_tools_entries",
    "loaded_libraries",
    "regular",
)

# File type bits of st_mode (inode(7)).
_DIRECTORY = 0o040000
_REGULAR = 0o100000
_CHARACTER = 0o020000

# Header fields are 8 hex digits: Documentation/driver-api/early-userspace/
# buffer-format.rst.
_FIELD_LIMIT = 1 << 32
_TRAILER = "TRAILER!!!"


class DeviceNumber(NamedTuple):
    """The number of a device node."""

    major: int
    minor: int


_NO_DEVICE = DeviceNumber(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitramfsEntry:
    """One file of an initramfs.

    Attributes:
        name: path without a leading slash; its directory must come earlier.
        mode: type and permission bits, as in st_mode.
        content: bytes of a regular file.
        device: of a device node.
    """

    name: str
    mode: int
    content: bytes = b""
    device: DeviceNumber = _NO_DEVICE


def directory(name: str) -> InitramfsEntry:
    """Return a directory that anyone may read."""
    return InitramfsEntry(name=name, mode=_DIRECTORY | 0o755)


def regular(name: str, content: bytes, permissions: int = 0o755) -> InitramfsEntry:
    """Return a regular file."""
    return InitramfsEntry(name=name, mode=_REGULAR | permissions, content=content)


def device_entry(name: str, major: int, minor: int) -> InitramfsEntry:
    """Return a character device node."""
    return InitramfsEntry(
        name=name, mode=_CHARACTER | 0o600, device=DeviceNumber(major, minor)
    )


def encode_newc(entries: Iterable[InitramfsEntry]) -> bytes:
    """Return an uncompressed newc archive with its trailer.

    Raises:
        InputError: a file does not fit the format's 32-bit fields.
    """
    out = bytearray()
    for inode, entry in enumerate(entries, start=1):
        out += _record(entry, inode)
    out += _record(InitramfsEntry(name=_TRAILER, mode=0), 0)
    return bytes(out)


def _record(entry: InitramfsEntry, inode: int) -> bytes:
    if len(entry.content) >= _FIELD_LIMIT:
        raise InputError(
            f"{entry.name}: {len(entry.content):#x} bytes do not fit: the limit of a "
            f"newc field is {_FIELD_LIMIT - 1:#x}"
        )
    name = entry.name.encode() + b"\0"
    fields = (
        inode,
        entry.mode,
        0,  # uid
        0,  # gid
        1,  # number of links
        0,  # modification time: the archive is the same whenever it is made
        len(entry.content),
        0,  # device that holds the file: major
        0,  # minor
        *entry.device,
        len(name),
        0,  # checksum, used by the crc variant only
    )
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


KEXEC_PATH = "/bin/kexec"
"""Where the guest has it."""

# "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)", and the dynamic loader, which
# stands alone: "/lib64/ld-linux-x86-64.so.2 (0x...)". The vDSO has no path.
_LIBRARY = re.compile(r"\s(?P<path>/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def kexec_tools_entries() -> tuple[InitramfsEntry, ...]:
    """Return kexec at :data:`KEXEC_PATH`, with its libraries at their own paths.

    Raises:
        MachineError: it is not installed.
        LabError: its libraries cannot be found.
    """
    program = find_kexec()
    ldd = run_tool(["ldd", str(program)], 30)
    if ldd.returncode and "not a dynamic executable" not in ldd.stderr:
        raise LabError(f"ldd {program}: {ldd.stderr.strip()}")
    libraries = loaded_libraries(ldd.stdout)
    try:
        files = [(KEXEC_PATH, program.read_bytes())]
        files += [(path, Path(path).read_bytes()) for path in libraries]
    except OSError as exc:
        raise LabError(f"kexec-tools: {exc}") from exc
    names = [path.lstrip("/") for path, _ in files]
    folders = (directory(name) for name in _folders(names))
    contents = (
        regular(name, data) for name, (_, data) in zip(names, files, strict=True)
    )
    return (*folders, *contents)


def loaded_libraries(said: str) -> tuple[str, ...]:
    """Return the paths that ldd(1) printed, the dynamic loader among them."""
    return tuple(dict.fromkeys(match["path"] for match in _LIBRARY.finditer(said)))


# Parents first: the kernel makes none by itself. bin is there already.
def _folders(names: Sequence[str]) -> Iterator[str]:
    made = {"bin"}
    for name in names:
        for parent in reversed(Path(name).parents):
            folder = str(parent)
            if folder != "." and folder not in made:
                made.add(folder)
                yield folder
