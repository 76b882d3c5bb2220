"""Ask the program that keeps the deposits what is deposited right now.

The protocol, in both forms one request and one answer:

* a UNIX stream socket: connect, write one line, ``deposits``, ``freeze`` or ``thaw``,
  shut down the writing side; read the answer to the end;
* a program: it is run with that word in the environment variable
  ``E820POOL_REQUEST``; its standard output is the answer, a status other than 0 a
  refusal. What it started ends with it.

The answer to ``deposits`` and to ``freeze`` is a ``deposits`` document
(:mod:`e820pool.sources.deposits_file`), or ``{"error": "..."}``. From ``freeze`` to
``thaw`` the agent neither deposits nor withdraws: what it did then would not be in the
next kernel's table. Nothing is expected of the answer to ``thaw``.
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import socket
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, cast

from e820pool.errors import MachineError
from e820pool.sources.deposits_file import DepositChanges, parse_changes
from e820pool.sources.files import INPUT_LIMIT

__all__ = ("AgentRequest", "ask_agent")

AgentRequest = Literal["deposits", "freeze", "thaw"]
"""What is asked of who keeps the deposits."""

# Where a program finds what is asked of it.
_REQUEST_VARIABLE = "E820POOL_REQUEST"

_SECONDS = 60.0
_PART_BYTES = 1 << 16
_WORDS_SHOWN = 200
_WAIT_STEP = 0.1


def ask_agent(
    agent: str, request: AgentRequest, seconds: float = _SECONDS, *, wait: float = 0
) -> DepositChanges | None:
    """Return what the agent says is deposited; None for ``thaw``.

    Args:
        agent: the path of a socket, or a command line as a shell splits it.
        request: what is asked.
        seconds: how long the whole answer may take.
        wait: how long an absolute path may be no socket that takes connections, as
            while its server is being started.

    Raises:
        MachineError: it is not there, refuses, takes longer than ``seconds`` until the
            end of its answer, or answers with more than 64 MiB.
        BadImageError: its answer is no deposits document.
    """
    if _is_socket(agent) or (wait and _may_become_socket(agent)):
        answer = _by_socket(agent, request, seconds, wait)
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


def _may_become_socket(agent: str) -> bool:
    return agent.startswith("/") and not Path(agent.split(maxsplit=1)[0]).is_file()


def _by_socket(path: str, request: str, seconds: float, wait: float) -> bytes:
    answer = bytearray()
    try:
        with _connected(path, seconds, wait) as port:
            deadline = time.monotonic() + seconds
            port.sendall(f"{request}\n".encode())
            port.shutdown(socket.SHUT_WR)
            # The deadline is the whole answer's: a byte now and then does not move it.
            port.settimeout(_left(deadline))
            while part := port.recv(_PART_BYTES):
                answer += part
                _validate_size(answer, path)
                port.settimeout(_left(deadline))
    except TimeoutError as exc:
        raise _late(path, seconds) from exc
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        waited = f" after {wait:g} s: is its service started?" if wait else ""
        raise MachineError(f"agent {path!r}: {reason}{waited}") from exc
    return bytes(answer)


# A server binds its name before it listens, and one that is gone leaves it behind; one
# that others ask, too, has a queue, which may be full for a moment (EAGAIN).
def _connected(path: str, seconds: float, wait: float) -> socket.socket:
    begin = time.monotonic()
    while True:
        port = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            port.settimeout(seconds)
            port.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError) as exc:
            port.close()
            limit = max(wait, seconds) if isinstance(exc, BlockingIOError) else wait
            if time.monotonic() - begin >= limit:
                raise
            time.sleep(_WAIT_STEP)
        except BaseException:
            port.close()
            raise
        else:
            return port


def _by_program(command: str, request: str, seconds: float) -> bytes:
    try:
        program = subprocess.Popen(  # noqa: S603  root's own words on root's command line
            shlex.split(command),
            env=os.environ | {_REQUEST_VARIABLE: request},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError, IndexError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise MachineError(
            f"agent {command!r} is neither a socket nor a program: {reason.lower()}"
        ) from exc
    try:
        with program:
            try:
                answer, words = _outputs(program, command, time.monotonic() + seconds)
            finally:
                # What it started is of its session, and must not outlive the question.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(program.pid, signal.SIGKILL)
    except (TimeoutError, subprocess.TimeoutExpired) as exc:
        raise _late(command, seconds) from exc
    if program.returncode:
        last_line = words.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise MachineError(
            f"agent {command!r} ended with status {program.returncode}: "
            f"{''.join(last_line)[:_WORDS_SHOWN]}"
        )
    return answer


# Both streams are read as they come: a full pipe would stop the program.
def _outputs(
    program: subprocess.Popen[bytes], command: str, deadline: float
) -> tuple[bytes, bytes]:
    answer, words = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        for stream, buffer in ((program.stdout, answer), (program.stderr, words)):
            waiting.register(cast("IO[bytes]", stream), selectors.EVENT_READ, buffer)
        while waiting.get_map():
            for key, _ in waiting.select(_left(deadline)):
                part = os.read(key.fd, _PART_BYTES)
                key.data.extend(part)
                _validate_size(key.data, command)
                if not part:
                    waiting.unregister(key.fileobj)
    program.wait(_left(deadline))
    return bytes(answer), bytes(words)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _late(agent: str, seconds: float) -> MachineError:
    return MachineError(f"agent {agent!r} has not answered after {seconds:g} s")


def _validate_size(answer: bytearray, agent: str) -> None:
    if len(answer) > INPUT_LIMIT:
        raise MachineError(
            f"agent {agent!r} answers with more than the limit of {INPUT_LIMIT:#x} "
            "bytes"
        )


def _validate_no_error(answer: bytes, agent: str) -> None:
    if not answer.lstrip().startswith(b"{"):
        return
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict) and "error" in document:
        raise MachineError(f"agent {agent!r} refuses: {str(document['error'])[:200]}")
