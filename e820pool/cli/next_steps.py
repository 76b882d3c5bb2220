"""What to do next about an error, where the error itself cannot know."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli.suggest import nearest
from e820pool.errors import BadImageError

if TYPE_CHECKING:
    import argparse

__all__ = ("next_step",)

_MISSING = re.compile(r"cannot read '([^']+)': no such file")
_SOURCE_IS = (
    "a SOURCE is the output of dmesg, /proc/iomem, a boot_params or our JSON "
    "(see 'e820pool --help')"
)


def next_step(error: Exception, args: argparse.Namespace) -> str:
    """Return what would help, for people; "" where the message says it already.

    Args:
        error: as it is told.
        args: of the command that failed.
    """
    message = str(error)
    found = _MISSING.match(message)
    if found is not None:
        return _missing(found[1], args)
    if message.startswith("cannot write") and message.endswith("permission denied"):
        return "choose a place that is yours"
    handoff = _named(args, "handoff")
    if "a boot_params has" in message and handoff in message:
        return (
            f"a map is no handoff yet: 'e820pool build {handoff} --deposit RANGE "
            "-o DIR' makes one"
        )
    source = next((one for one in _sources(args) if one in message), "")
    if source and isinstance(error, BadImageError):
        return _SOURCE_IS
    if "not inside RAM" in message and _sources(args):
        return f"'e820pool show {_sources(args)[0]}' lists what is RAM"
    return ""


def _sources(args: argparse.Namespace) -> list[str]:
    return [one for one in (_named(args, name) for name in ("source", "a", "b")) if one]


def _named(args: argparse.Namespace, name: str) -> str:
    found = getattr(args, name, None)
    return found if isinstance(found, str) else ""


def _missing(name: str, args: argparse.Namespace) -> str:
    path = Path(name)
    try:
        beside = [one.name for one in path.parent.iterdir()]
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
