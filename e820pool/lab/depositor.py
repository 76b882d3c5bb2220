"""The guest's own programs, in C: the agent of a chain, and what measures."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from e820pool.errors import LabError
from e820pool.lab.cache import cache_folder, write_atomically

__all__ = ("guest_program",)

# The sources, compiled once for each version of them.
_SOURCES = Path(__file__).with_name("guest_files")

_COMPILE_SECONDS = 120

# Static: the guest has no libraries but those of kexec-tools, of which it may have
# none. No symbols: the program is in every initramfs.
_FLAGS = ("-static", "-O2", "-s")


def guest_program(name: str) -> bytes:
    """Return a compiled program of ``guest_files``; it is kept in the cache folder.

    Raises:
        LabError: there is no C compiler or no static C library; says what to install.
    """
    try:
        source = (_SOURCES / f"{name}.c").read_bytes()
        digest = hashlib.sha256(source + " ".join(_FLAGS).encode()).hexdigest()
        path = cache_folder("agent") / f"{name}-{digest[:16]}"
        if not path.is_file():
            write_atomically(path, _compiled(name, source))
        return path.read_bytes()
    except OSError as exc:
        raise LabError(f"{name}: {exc}") from exc


def _compiled(name: str, source: bytes) -> bytes:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise LabError(f"no C compiler for the guest's {name}: install gcc, libc6-dev")
    with tempfile.TemporaryDirectory(prefix=f"e820pool-{name}-") as folder:
        made = Path(folder) / name
        argv = [compiler, *_FLAGS, "-x", "c", "-", "-o", str(made)]
        try:
            done = subprocess.run(  # noqa: S603  our own command line
                argv,
                input=source,
                capture_output=True,
                timeout=_COMPILE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise LabError(f"{name}: {compiler}: {exc}") from exc
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            said = lines[-1] if lines else f"status {done.returncode}"
            raise LabError(f"{name} does not compile (libc6-dev?): {said}")
        return made.read_bytes()
