"""Run the command line, as ``python -m e820pool`` and as ``e820pool``."""

import gc
import os

__all__ = ("run",)

# Objects between two searches for cycles, of which a command makes few: with Python's
# 700 a fifth of a short one is searching what it imports.
_GC_EVERY = 50_000
_INTERRUPTED = 130  # what a shell reports for Ctrl-C


def run() -> int:
    """Run one command and return its exit status.

    Ctrl-C while its modules are still read ends it without a word.
    """
    # numpy's algebra starts a thread a processor as it is imported, which is a sixth of
    # a short command; nothing here multiplies matrices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(_GC_EVERY)
    try:
        from e820pool.cli import main  # noqa: PLC0415  what Ctrl-C may cut short
    except KeyboardInterrupt:
        return _INTERRUPTED
    code = main()
    gc.freeze()  # nor are all modules searched as Python ends
    return code


if __name__ == "__main__":
    raise SystemExit(run())
