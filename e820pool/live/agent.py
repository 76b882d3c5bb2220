"""Ask the program that keeps the deposits what is deposited right now.

The protocol, in both forms one request and one answer:

* a UNIX stream socket: connect, write one line, ``deposits``, ``freeze`` or ``thaw``,
  shut down the writing side; read the answer to the end;
* a program: it is run with that word in the environment variable
  ``E820POOL_REQUEST``; its standard output is the answer, a status other than 0 a
  refusal.

The answer to ``deposits`` and to ``freeze`` is a ``deposits`` document
(:mod:`e820pool.sources.deposits_file`), or ``{"error": "..."}``. From ``freeze`` to
``thaw`` the agent neither deposits nor withdraws: what it did then would not be in the
next kernel's table. Nothing is expected of the answer to ``thaw``.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from e820pool.errors import MachineError
from e820pool.sources.deposits_file import parse_changes
from e820pool.sources.files import INPUT_LIMIT

if TYPE_CHECKING:
    from e820pool.sources.deposits_file import DepositChanges

__all__ = ("AgentRequest", "ask_agent")

AgentRequest = Literal["deposits", "freeze", "thaw"]
"""What is asked of who keeps the deposits."""

# Where a program finds what is asked of it.
_REQUEST_VARIABLE = "E820POOL_REQUEST"

_SECONDS = 60.0


def ask_agent(
    agent: str, request: AgentRequest, seconds: float = _SECONDS
) -> DepositChanges | None:
    """Return what the agent says is deposited; None for ``thaw``.

    Args:
        agent: the path of a socket, or a command line as a shell splits it.
        request: what is asked.
        seconds: how long the whole answer may take.

    Raises:
        MachineError: it is not there, refuses, or takes too long.
        BadImageError: its answer is no deposits document.
    """
    if _is_socket(agent):
        answer = _by_socket(agent, request, seconds)
    else:
        answer = _by_program(agent, request, seconds)
    if request == "thaw":
        return None
    if not answer.strip():
        raise MachineError(f"agent {agent!r} answers {request!r} with 0 bytes")
    _validate_no_error(answer, agent)
    return parse_changes(answer, f"agent {agent}")


def _is_socket(agent: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(agent).stat().st_mode)
    except (OSError, ValueError):
        return False


def _by_socket(path: str, request: str, seconds: float) -> bytes:
    answer = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as port:
            port.settimeout(seconds)
            port.connect(path)
            port.sendall(f"{request}\n".encode())
            port.shutdown(socket.SHUT_WR)
            while len(answer) <= INPUT_LIMIT and (part := port.recv(1 << 16)):
                answer += part
    except TimeoutError as exc:
        raise MachineError(
            f"agent {path!r} has not answered after {seconds:g} s"
        ) from exc
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise MachineError(f"agent {path!r}: {reason}") from exc
    if len(answer) > INPUT_LIMIT:
        raise MachineError(
            f"agent {path!r} answers with more than the limit of {INPUT_LIMIT:#x} bytes"
        )
    return bytes(answer)


def _by_program(command: str, request: str, seconds: float) -> bytes:
    try:
        argv = shlex.split(command)
        done = subprocess.run(  # noqa: S603  root's own words on root's command line
            argv,
            env=os.environ | {_REQUEST_VARIABLE: request},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise MachineError(
            f"agent {command!r} has not answered after {seconds:g} s"
        ) from exc
    except (OSError, ValueError, IndexError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise MachineError(
            f"agent {command!r} is neither a socket nor a program: {reason.lower()}"
        ) from exc
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise MachineError(
            f"agent {command!r} ended with status {done.returncode}: {''.join(said)}"
        )
    return done.stdout


def _validate_no_error(answer: bytes, agent: str) -> None:
    if not answer.lstrip().startswith(b"{"):
        return
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict) and "error" in found:
        raise MachineError(f"agent {agent!r} refuses: {str(found['error'])[:200]}")
