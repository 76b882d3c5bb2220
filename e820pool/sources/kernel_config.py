"""Read the text of a kernel's build configuration."""

from __future__ import annotations

import re
import zlib
from contextlib import suppress
from pathlib import Path

from e820pool.errors import BadImageError, InputError
from e820pool.sources.files import read_file

__all__ = ("parse_config_text", "read_config", "read_running_config")

_GZIP = b"\x1f\x8b"
_MOST_BYTES = 16 << 20

_SET = re.compile(
    r"^CONFIG_(?P<name>\w+)="
    r'(?:"(?P<text>(?:[^"\\\n]|\\.)*)"|(?P<value>[^"\s]*))[ \t\r]*$',
    re.MULTILINE,
)
_ESCAPED = re.compile(r"\\(.)")
_UNSET = re.compile(r"^# CONFIG_(?P<name>[A-Z0-9_a-z]+) is not set$", re.MULTILINE)


def parse_config_text(text: str) -> dict[str, str]:
    """Return option to value; an option that is written as not set is ``n``.

    The form is Kconfig's: ``/boot/config-*``, /proc/config.gz once unpacked.
    """
    options = {match["name"]: "n" for match in _UNSET.finditer(text)}
    options |= {match["name"]: _value(match) for match in _SET.finditer(text)}
    return options


# Kconfig writes a text in quotes, and a backslash before each of these two.
def _value(match: re.Match[str]) -> str:
    text: str | None = match["text"]
    return match["value"] if text is None else _ESCAPED.sub(r"\1", text)


def read_config(path: str) -> dict[str, str]:
    """Return option to value of a file, which may be packed with gzip.

    Raises:
        InputError: it cannot be read.
        BadImageError: it sets no option, or is damaged.
    """
    data = read_file(Path(path))
    if data.startswith(_GZIP):
        data = _unpacked(data, path)
    options = parse_config_text(data.decode("utf-8", "replace"))
    if not options:
        raise BadImageError(
            f"{path!r} sets no option: a kernel's configuration has lines such as "
            "CONFIG_EFI=y"
        )
    return options


def read_running_config(release: str, root: Path = Path("/")) -> dict[str, str] | None:
    """Return option to value of the running kernel, None where nothing says it.

    It shows them itself (CONFIG_IKCONFIG_PROC), or its package left them in /boot or
    beside its modules.
    """
    for name in (
        "proc/config.gz",
        f"boot/config-{release}",
        f"lib/modules/{release}/config",
    ):
        with suppress(InputError, BadImageError):
            return read_config(str(root / name))
    return None


def _unpacked(data: bytes, path: str) -> bytes:
    try:
        text = zlib.decompressobj(wbits=31).decompress(data, _MOST_BYTES + 1)
    except zlib.error as exc:
        raise BadImageError(f"{path!r} is damaged: {exc}") from exc
    if len(text) > _MOST_BYTES:
        raise BadImageError(
            f"{path!r} unpacks to more than the limit of {_MOST_BYTES:#x} bytes"
        )
    return text
