"""What to do next about an error, and the closest match for a misspelt word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from e820pool.errors import E820PoolError

__all__ = ("nearest", "next_step")

_SOURCE_IS = (
    "a SOURCE is the output of dmesg, /proc/iomem, a boot_params or our JSON "
    "(see 'e820pool --help')"
)


def next_step(error: E820PoolError, args: argparse.Namespace) -> str:
    """Return what would help, for people; "" where the message says it already.

    Args:
        error: which, by its id.
        args: of the command that failed.
    """
    handoff, sources = _named(args, "handoff"), _sources(args)
    match error.id:
        case "file-missing":
            return _missing(error.about, args)
        case "not-writable":
            return "choose a place that is yours"
        case "not-a-zero-page" if error.about == handoff:
            return (
                f"a map is no handoff yet: 'e820pool build {handoff} --deposit RANGE "
                "-o DIR' makes one"
            )
        case "not-a-source":
            return _SOURCE_IS
        case "deposit-outside-ram" if sources:
            return f"'e820pool show {sources[0]}' lists what is RAM"
    return ""


def _sources(args: argparse.Namespace) -> list[str]:
    return list(filter(None, (_named(args, name) for name in ("source", "a", "b"))))


def _named(args: argparse.Namespace, name: str) -> str:
    value = getattr(args, name, None)
    return value if isinstance(value, str) else ""


def _missing(name: str, args: argparse.Namespace) -> str:
    path = Path(name)
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no folder {str(path.parent)!r}"
    except OSError:
        return ""
    like = nearest(path.name, beside)
    if like:
        return f"is it {str(path.with_name(like))!r}?"
    if name == _named(args, "handoff"):
        return f"'e820pool build SOURCE --deposit RANGE -o {name}' makes a handoff"
    return ""


# As alike as `shwo` and `show`, and not as `swap` and `show`.
_ALIKE = 0.6


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like ``word``; "" if none is much like it."""
    from difflib import get_close_matches  # noqa: PLC0415  for mistakes only

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=_ALIKE)), "")
