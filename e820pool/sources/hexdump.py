"""Turn a hexdump of a zero page back into its bytes."""

from __future__ import annotations

import re

from e820pool.errors import BadImageError
from e820pool.sources.log_text import clean_lines

__all__ = ("bytes_of_hexdump", "looks_like_hexdump")

# No more than a zero page has is kept; a longer dump is refused.
_LIMIT = 1 << 20

# `hexdump -C` and `od -Ax -tx1`: single bytes, then the characters between marks; plain
# `hexdump`: words of two bytes, the low one first. `xxd`: a colon, groups of any width,
# then two blanks and the characters. What stands before an address is what mail and
# comments put there.
_PLAIN = re.compile(
    r"[\s>|#*]{0,40}(?P<at>[0-9a-fA-F]{6,16})[ \t]{1,3}"
    r"(?P<data>[0-9a-fA-F]{2}(?:[ \t]{1,2}[0-9a-fA-F]{2}){0,31}"
    r"|[0-9a-fA-F]{4}(?:[ \t]{1,4}[0-9a-fA-F]{4}){0,15})[ \t]*(?:[|>].*)?$"
)
_XXD = re.compile(
    r"[\s>|#*]{0,40}(?P<at>[0-9a-fA-F]{6,16}):[ \t]"
    r"(?P<data>(?:[0-9a-fA-F]{2}){1,256}(?: (?:[0-9a-fA-F]{2}){1,32}){0,255})"
    r"(?:[ \t]{2}.*|[ \t]*)$"
)
# `xxd -p`: nothing but digits.
_BARE = re.compile(r"[0-9a-fA-F\s]{8192,16384}")
_SHORT = re.compile(r"^[\s>|#*]{0,40}(?P<at>[0-9a-fA-F]{6,16}):?[ \t]*$")
_SAME = re.compile(r"^[\s>|#]{0,40}\*[ \t]*$")


def looks_like_hexdump(text: str) -> bool:
    """Return whether the text's first lines are those of a dump of bytes.

    Two lines that follow each other, with the second address where the first ends.
    """
    if _is_bare(text):
        return True
    before: int | None = None
    for raw in text[: 1 << 14].split("\n")[:40]:
        match = _matched(raw.rstrip("\r"))
        if match is not None:
            at, data = int(match["at"], 16), _bytes(match)
            if before is not None and at == before:
                return True
            before = at + len(data)
        elif _SAME.match(raw) and before is not None:
            return True
    return False


def bytes_of_hexdump(text: str, origin: str) -> bytes:
    """Return the bytes of a dump that begins at address 0, repeated lines filled in.

    Raises:
        BadImageError: bytes are missing, or there are too many.
    """
    if _is_bare(text):
        return bytes.fromhex("".join(text.split()))
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
        at = int(address["at"], 16)
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


def _is_bare(text: str) -> bool:
    return len(text) <= 1 << 15 and _BARE.fullmatch(text) is not None


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
    # Plain `hexdump` prints words as this machine's processor reads them.
    swaps = match.re is _PLAIN and len(groups[0]) == 4
    parts = (bytes.fromhex(group) for group in groups)
    return b"".join(part[::-1] if swaps else part for part in parts)
