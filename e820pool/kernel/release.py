"""A kernel release as a number that can be compared, and its stable update."""

from __future__ import annotations

import re

from e820pool.errors import InputError

__all__ = ("ReleaseKey", "parse_release", "stable_update")

ReleaseKey = tuple[int, ...]
"""``(2, 6, z)`` for 2.6.z, else ``(x, y)``: what decides on most behaviours."""

# Longer numbers than any release has are a typing error, not a release.
_RELEASE = re.compile(
    r"(\d{1,3})\.(\d{1,4})(?:\.(\d{1,6}))?([-+._~ ].*)?", re.ASCII | re.DOTALL
)
# Before 13 Debian calls every update of 6.1 "6.1.0-N", and says the update at the end
# of the version text: "... #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)".
_DEBIAN = re.compile(r"\bDebian (\d+)\.(\d+)\.(\d+)", re.ASCII)


def parse_release(text: str) -> ReleaseKey:
    """Return the key of ``6.1``, ``6.1.187`` or ``6.1.0-52-cloud-amd64``.

    What follows X.Y does not count here (:func:`stable_update` reads it), except that
    2.6.z releases were what X.Y releases are today.

    Raises:
        InputError: the text is no release.
    """
    major, minor, update, _ = _parts(text)
    if (major, minor) != (2, 6):
        return major, minor
    if update is None:
        raise InputError(f"kernel not known: {text[:40]!r} lacks the z of 2.6.z")
    return 2, 6, update


def stable_update(text: str) -> int | None:
    """Return the z of X.Y.z, None where the text does not say it.

    The z of ``6.12.60`` and ``6.12.117+deb13-amd64`` is said; so is that of ``6.12.0``,
    of a release candidate (0), and of a whole version text that ends as Debian's do.
    ``6.12`` and a distribution's ``6.1.0-52-cloud-amd64`` do not say it.

    Example:
        >>> stable_update("6.12.60"), stable_update("6.12"), stable_update("6.1.0-52-x")
        (60, None, None)
        >>> stable_update("6.1.0-50-amd64 (x@debian) #1 SMP Debian 6.1.176-1")
        176

    Raises:
        InputError: the text is no release.
    """
    major, minor, update, rest = _parts(text)
    if (major, minor) == (2, 6):
        return None
    # /proc/version names Debian's compiler in the same way, before the kernel.
    ours = [z for *xy, z in _DEBIAN.findall(rest) if [*map(int, xy)] == [major, minor]]
    if ours:
        return int(ours[-1])
    if update:
        return update
    is_candidate = rest.startswith("-rc")
    is_plain = update == 0 and (not rest or rest.startswith("+"))
    return 0 if is_candidate or is_plain else None


def _parts(text: str) -> tuple[int, int, int | None, str]:
    match = _RELEASE.fullmatch(text)
    if match is None:
        raise InputError(f"kernel not known: {text[:40]!r} is no release like 6.1")
    major, minor, update, rest = match.groups()
    return int(major), int(minor), None if update is None else int(update), rest or ""
