"""A kernel release as a number that can be compared."""

from __future__ import annotations

import re

from e820pool.errors import InputError

__all__ = ("ReleaseKey", "parse_release")

ReleaseKey = tuple[int, ...]
"""``(2, 6, z)`` for 2.6.z, else ``(x, y)``: what decides on a behaviour."""

# Longer numbers than any release has are a typing error, not a release.
_RELEASE = re.compile(r"(\d{1,3})\.(\d{1,4})(?:\.(\d{1,6}))?(?:[-+._~ ].*)?", re.ASCII)


def parse_release(text: str) -> ReleaseKey:
    """Return the key of ``6.1``, ``6.1.187`` or ``6.1.0-52-cloud-amd64``.

    Stable updates and distributions' suffixes do not count, except that 2.6.z
    releases were what X.Y releases are today.

    Raises:
        InputError: the text is no release.
    """
    match = _RELEASE.fullmatch(text)
    if match is None:
        raise InputError(f"kernel not known: {text[:40]!r} is no release like 6.1")
    major, minor, update = match.groups()
    if (int(major), int(minor)) != (2, 6):
        return int(major), int(minor)
    if update is None:
        raise InputError(f"kernel not known: {text[:40]!r} lacks the z of 2.6.z")
    return 2, 6, int(update)
