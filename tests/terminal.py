"""Run a command with a terminal as its stdout and stderr, and return what it shows."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass

E820POOL = (sys.executable, "-m", "e820pool")
# Progress is not waited for, so that a fast machine shows it too.
_EAGERLY = (
    "import sys; from e820pool.cli import main, progress;"
    " progress._DELAY_SECONDS = 0; sys.exit(main())"
)
EAGER = (sys.executable, "-c", _EAGERLY)


@dataclass(frozen=True)
class Shown:
    """What a command left: its status, and all that the terminal got."""

    code: int
    text: str


def on_terminal(*words, columns=80, piped_out=None, program=E820POOL, **env):
    """Run the command in a terminal of ``columns`` columns.

    Args:
        words: the command's arguments.
        columns: how wide the terminal is.
        piped_out: a file object for stdout, so that only stderr is the terminal.
        program: how the command is started.
        env: variables on top of a clean TERM=xterm-256color; None takes one away.
    """
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    unset = {"NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE"}
    given = {k: v for k, v in os.environ.items() if k not in unset}
    given |= {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | env
    child = subprocess.Popen(
        [*program, *map(str, words)],
        stdin=far,
        stdout=far if piped_out is None else piped_out,
        stderr=far,
        env={k: v for k, v in given.items() if v is not None},
    )
    os.close(far)
    text = b"".join(_read(near)).decode()
    os.close(near)
    return Shown(child.wait(60), text.replace("\r\n", "\n"))


# Linux gives EIO once the other side is gone.
def _read(near):
    while True:
        try:
            data = os.read(near, 1 << 16)
        except OSError:
            return
        if not data:
            return
        yield data
