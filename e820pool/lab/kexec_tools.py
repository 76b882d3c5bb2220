"""Stock kexec-tools for the guest: this machine's own program and its libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from e820pool.errors import LabError
from e820pool.lab.initramfs import InitramfsEntry, directory, regular
from e820pool.lab.run_tool import run_tool
from e820pool.loading.kexec_loaders import find_kexec

__all__ = ("KEXEC_PATH", "kexec_tools_entries", "loaded_libraries")

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
