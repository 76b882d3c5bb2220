"""The guest's own program: deposits pages at run time, starts the next kernel."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from e820pool.errors import LabError
from e820pool.lab.cache import cache_folder, write_atomically

__all__ = ("agent_program",)

# The source, compiled once for each version of it.
_AGENT_SOURCE = Path(__file__).with_name("guest_files") / "agent.c"

_COMPILE_SECONDS = 120

# Static: the guest has no libraries but those of kexec-tools, of which it may have
# none. No symbols: the program is in every initramfs.
_FLAGS = ("-static", "-O2", "-s")


def agent_program() -> bytes:
    """Return the compiled agent; it is kept in the cache folder.

    Raises:
        LabError: there is no C compiler or no static C library; says what to install.
    """
    source = _source()
    digest = hashlib.sha256(source + " ".join(_FLAGS).encode()).hexdigest()
    path = cache_folder("agent") / f"agent-{digest[:16]}"
    if not path.is_file():
        write_atomically(path, _compiled(source))
    try:
        return path.read_bytes()
    except OSError as exc:
        raise LabError(f"agent: {exc}") from exc


def _source() -> bytes:
    try:
        return _AGENT_SOURCE.read_bytes()
    except OSError as exc:
        raise LabError(f"agent: {exc}") from exc


def _compiled(source: bytes) -> bytes:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise LabError("no C compiler for the guest's agent: install gcc, libc6-dev")
    with tempfile.TemporaryDirectory(prefix="e820pool-agent-") as folder:
        made = Path(folder) / "agent"
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
            raise LabError(f"agent: {compiler}: {exc}") from exc
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            said = lines[-1] if lines else f"status {done.returncode}"
            raise LabError(f"the agent does not compile (libc6-dev?): {said}")
        return made.read_bytes()
