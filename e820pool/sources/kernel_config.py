"""Read the text of a kernel's build configuration."""

from __future__ import annotations

import re

__all__ = ("parse_config_text",)

_SET = re.compile(r'^CONFIG_(?P<name>\w+)="?(?P<value>[^"\n]*)"?$', re.MULTILINE)
_UNSET = re.compile(r"^# CONFIG_(?P<name>[A-Z0-9_a-z]+) is not set$", re.MULTILINE)


def parse_config_text(text: str) -> dict[str, str]:
    """Return option to value; an option that is written as not set is ``n``.

    The form is Kconfig's: ``/boot/config-*``, /proc/config.gz once unpacked.
    """
    found = {match["name"]: "n" for match in _UNSET.finditer(text)}
    found |= {match["name"]: match["value"] for match in _SET.finditer(text)}
    return found
