"""Run the command line, as ``python -m e820pool`` and as ``e820pool``."""

__all__ = ("run",)

_INTERRUPTED = 130  # what a shell reports for Ctrl-C


def run() -> int:
    """Run one command and return its exit status.

    Ctrl-C while its modules are still read ends it without a word.
    """
    try:
        from e820pool.cli import main  # noqa: PLC0415  what Ctrl-C may cut short
    except KeyboardInterrupt:
        return _INTERRUPTED
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
