"""Errors by who is at fault: caller, input, a capacity, the lab, this machine."""

from __future__ import annotations

__all__ = (
    "BadImageError",
    "CapacityError",
    "E820PoolError",
    "InputError",
    "LabError",
    "MachineError",
    "missing_package",
)


class E820PoolError(Exception):
    """The root of every error that this package raises on purpose.

    The message is one line that shows the offending value and the limit.

    Attributes:
        id: a stable name where code has to tell errors of a class apart, else "".
        about: the file or value that an error with an id is about.
    """

    def __init__(self, *words: object, ident: str = "", about: str = "") -> None:
        super().__init__(*words)
        self.id = ident
        self.about = about


class InputError(E820PoolError):
    """The caller asked for something impossible: a bad range, option or value."""


class BadImageError(E820PoolError):
    """Bytes or text that were read do not have the form they claim to have."""


class CapacityError(E820PoolError):
    """A valid request does not fit: entries, command line, space to place parts."""


class LabError(E820PoolError):
    """The laboratory failed (QEMU missing, VM lost): there is no verdict."""


class MachineError(E820PoolError):
    """This machine lacks a program or package, or refuses a kexec: nothing was done."""


def missing_package(feature: str, *packages: str, otherwise: str = "") -> MachineError:
    """Return the error of a feature that takes a package which is not installed.

    Args:
        feature: what was asked for.
        packages: the names to install, of which the first is missing.
        otherwise: how to do without it.
    """
    line = f"pip install {' '.join(packages)}"
    advice = f"; {otherwise}" if otherwise else ""
    return MachineError(f"{feature} needs {packages[0]}: {line}{advice}")
