"""The configuration options that change how a kernel reads a handoff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("ConfigValue", "config_of", "is_whole_config")

ConfigValue = bool | int | str
"""What an option is: yes or no, a number, or a text."""

_WORDS = {"y": True, "m": True, "n": False, "": False}
# What an option may be; all others are yes or no, but for texts.
_NUMBERS = {
    "NODES_SHIFT": (0, 10),
    "PHYSICAL_ALIGN": (1 << 12, 1 << 30),
    "PHYSICAL_START": (0, 1 << 46),
    "RANDOMIZE_BASE_MAX_OFFSET": (0, 1 << 46),
    "X86_RESERVE_LOW": (4, 640),
}
_TEXTS = {"CMDLINE": 2047}  # bytes that a kernel keeps of it
# Every x86 configuration has the first; Kconfig writes hundreds of others with it.
_IN_EVERY_CONFIG = "X86"
_WHOLE = 200


def config_of(options: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``options`` that are in ``known``, as booleans and integers.

    Names may carry the prefix ``CONFIG_``; values may be what Kconfig writes
    (``y``, ``n``, ``0x200000``). Options that change nothing are left out, so
    that a whole ``.config`` can be given. There an option that is not written is not
    set: Kconfig writes no line for one whose dependencies are not met.

    Raises:
        InputError: a value is not one that the option can have.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        if not isinstance(name, str):
            raise InputError(f"config: {name!r} is no option name")
        plain = name.removeprefix("CONFIG_")
        if plain in known:
            found[plain] = _value_of(plain, value)
    if is_whole_config(options):
        unset = (name for name, value in known.items() if type(value) is bool)
        found = dict.fromkeys(unset, False) | found
    return found


def is_whole_config(options: Mapping[str, Any]) -> bool:
    """Return whether options are all of a build's, and not only some of them."""
    return _IN_EVERY_CONFIG in options and len(options) >= _WHOLE


def _value_of(name: str, value: object) -> ConfigValue:
    if name in _TEXTS:
        return _text_of(name, value)
    limits = _NUMBERS.get(name)
    if limits is None:
        return _flag_of(name, value)
    number = _number_of(value)
    if number is None or not limits[0] <= number <= limits[1]:
        shown = hex(number) if number is not None else repr(value)[:40]
        raise InputError(
            f"config: {name}={shown} is outside {limits[0]:#x}..{limits[1]:#x}"
        )
    return number


def _text_of(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value.encode()) > _TEXTS[name]:
        raise InputError(
            f"config: {name}={value!r}"[:80] + f" is no text of {_TEXTS[name]:#x} bytes"
        )
    return value


def _flag_of(name: str, value: object) -> bool:
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise InputError(f"config: {name}={value!r} is neither y nor n"[:200])


def _number_of(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(value, 0) if isinstance(value, str) else None
    except ValueError:
        return None
