"""Turn a hexdump of a zero page back into its bytes."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from e820pool.errors import BadImageError
from e820pool.sources.log_text import clean_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("bytes_of_hexdump", "looks_like_hexdump")

# No more than a zero page has is kept; a longer dump is refused.
_LIMIT = 1 << 20

# `hexdump -C` and `od -tx1`: single bytes, then the characters between marks; plain
# `hexdump`, `hexdump -x`, `od -tx2` to -tx8: words, the low byte first. `xxd`: a colon,
# groups of any width, then two blanks and the characters. What stands before an address
# is what mail and comments put there.
_BEFORE = r"[\s>|#*]{0,40}"
_WORDS = "|".join(
    rf"{word}(?:[ \t]{{1,4}}{word}){{0,{most}}}"
    for word, most in (
        (f"[0-9a-fA-F]{{{digits}}}", 63 // digits) for digits in (2, 4, 8, 16)
    )
)
_PLAIN = re.compile(
    rf"{_BEFORE}(?P<at>[0-9a-fA-F]{{6,16}})[ \t]{{1,4}}(?P<data>{_WORDS})"
    r"[ \t]*(?:[|>].*)?$"
)
_XXD = re.compile(
    rf"{_BEFORE}(?P<at>[0-9a-fA-F]{{6,16}}):[ \t]"
    r"(?P<data>(?:[0-9a-fA-F]{2}){1,256}(?: (?:[0-9a-fA-F]{2}){1,32}){0,255})"
    r"(?:[ \t]{2}.*|[ \t]*)$"
)
# `xxd -p`: nothing but digits on a line.
_BARE = re.compile(rf"^{_BEFORE}([0-9a-fA-F]{{2,8192}})[ \t\r]*$", re.MULTILINE)
_BARE_DIGITS = 8192
# Addresses are hexadecimal but od's, which are octal, or with -Ad decimal.
_BASES = (16, 8, 10)
_WHOLE = 0x1000
_SHORT = re.compile(r"^[\s>|#*]{0,40}(?P<at>[0-9a-fA-F]{6,16}):?[ \t]*$")
_SAME = re.compile(r"^[\s>|#]{0,40}\*[ \t]*$")


def looks_like_hexdump(text: str) -> bool:
    """Return whether the text's first lines are those of a dump of bytes.

    Two lines that follow each other, with the second address where the first ends.
    """
    if _bare_digits(text):
        return True
    before: str | None = None
    size = 0
    for raw in text[: 1 << 14].split("\n")[:40]:
        match = _matched(raw.rstrip("\r"))
        if match is not None:
            if before is not None and any(_follows(before, size, match["at"])):
                return True
            before, size = match["at"], len(_bytes(match))
        elif _SAME.match(raw.rstrip("\r")) and before is not None:
            return True
    return False


def _follows(before: str, size: int, at: str) -> Iterator[bool]:
    for base in _BASES:
        with contextlib.suppress(ValueError):
            yield int(before, base) + size == int(at, base)


def bytes_of_hexdump(text: str, origin: str) -> bytes:
    """Return the bytes of a dump that begins at address 0, repeated lines filled in.

    Raises:
        BadImageError: bytes are missing, or there are too many.
    """
    if digits := _bare_digits(text):
        return bytes.fromhex(digits)
    for base in _BASES[1:]:
        with contextlib.suppress(BadImageError, ValueError):
            data = _bytes_at(text, base, origin)
            if len(data) == _WHOLE:
                return data
    return _bytes_at(text, _BASES[0], origin)


def _bytes_at(text: str, base: int, origin: str) -> bytes:
    data = bytearray()
    last = b""
    repeats = False
    for line in clean_lines(text):
        if _SAME.match(line.text) and last:
            repeats = True
            continue
        match = _matched(line.text)
        end = _SHORT.match(line.text) if match is None and data else None
        address = match or end
        if address is None:
            continue
        at = int(address["at"], base)
        if repeats and len(data) < at <= _LIMIT:
            data += (last * ((at - len(data)) // len(last) + 1))[: at - len(data)]
        repeats = False
        _validate_next(at, len(data), line.number, origin)
        if match is not None:
            last = _bytes(match)
            data += last
        if end is not None:
            break
    return bytes(data)


def _bare_digits(text: str) -> str:
    if not _BARE_DIGITS <= len(text) <= 1 << 16:
        return ""
    digits = "".join(_BARE.findall(text))
    return digits if len(digits) == _BARE_DIGITS else ""


def _validate_next(at: int, reach: int, line: int, origin: str) -> None:
    if at > _LIMIT:
        raise BadImageError(
            f"{origin!r}: line {line} of a hexdump is at {at:#x}: the limit is "
            f"{_LIMIT:#x}, and a boot_params has 0x1000 bytes"
        )
    if at != reach:
        raise BadImageError(
            f"{origin!r}: line {line} of a hexdump is at {at:#x}, and the bytes before "
            f"end at {reach:#x}: give all of hexdump -C "
            "/sys/kernel/boot_params/data, from 0 to 0x1000"
        )


def _matched(text: str) -> re.Match[str] | None:
    return _XXD.match(text) or _PLAIN.match(text)


def _bytes(match: re.Match[str]) -> bytes:
    groups = match["data"].split()
    # Words are printed as this machine's processor reads them.
    swaps = match.re is _PLAIN
    parts = (bytes.fromhex(group) for group in groups)
    return b"".join(part[::-1] if swaps else part for part in parts)
