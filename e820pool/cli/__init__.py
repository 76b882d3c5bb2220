"""The command line: arguments in, one library call, a rendering, an exit status."""

from e820pool.cli.main import main

__all__ = ("main",)
