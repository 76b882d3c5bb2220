"""Run a program of this machine to its end, and have its words."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from e820pool.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ("run_tool",)


def run_tool(
    argv: Sequence[str],
    seconds: float,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text: str = "",
) -> subprocess.CompletedProcess[str]:
    """Return what a program printed, and its status, whatever that is.

    Raises:
        LabError: it cannot be run, or takes longer.
    """
    try:
        return subprocess.run(  # noqa: S603  our own command line
            argv,
            cwd=cwd,
            env=env,
            input=text,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise LabError(f"{argv[0]} took more than {seconds:.0f} s") from exc
    except OSError as exc:
        raise LabError(f"{argv[0]}: {exc}") from exc
