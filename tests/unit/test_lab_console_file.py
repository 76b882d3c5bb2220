"""The console of a machine, followed while it is written."""

from contextlib import closing
from pathlib import Path

from e820pool.lab.started_vm import ConsoleFile


def test_what_is_printed_is_read_once_and_in_order():
    with closing(ConsoleFile()) as console:
        path = Path(f"/proc/self/fd/{console.fileno}")
        assert console.read_new() == b""
        with path.open("wb", buffering=0) as writer:
            writer.write(b"first\n")
            assert console.read_new() == b"first\n"
            writer.write(b"x" * 200_000)
            assert console.read_new() == b"x" * 200_000
            assert console.read_new() == b""
