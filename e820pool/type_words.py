"""The words by which kernels call e820 types, in logs and in resource names."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from e820pool.abi.e820 import (
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    E820_TYPE_RESERVED_KERN,
    E820_TYPE_SOFT_RESERVED,
    E820_TYPE_UNUSABLE,
)

__all__ = (
    "KNOWN_TYPES",
    "LOG_DIALECTS",
    "RESOURCE_NAMES",
    "TYPE_WITHOUT_NUMBER",
    "LogDialect",
    "LogWords",
    "are_words_begun",
    "log_words",
    "match_log_words",
    "resource_name",
    "type_of_resource",
    "type_text",
)

LogDialect = Literal["2.4", "pre-3.5", "3.5", "7.0"]
"""One of :data:`LOG_DIALECTS`."""

#: 2.4     ` BIOS-e820: SIZE @ START (usable)`         2.4.0 to early 2.4
#: pre-3.5 ` BIOS-e820: START - END (usable)`          2.4 to 3.4, end exclusive
#: 3.5     `BIOS-e820: [mem 0xSTART-0xEND] usable`     3.5 to 6.19, end inclusive
#: 7.0     `BIOS-e820: [mem 0xSTART-0xEND]  System RAM` and `[gap ..]` lines
LOG_DIALECTS: tuple[LogDialect, ...] = ("2.4", "pre-3.5", "3.5", "7.0")

#: What stands for a type of which only "unknown" is said: a /proc/iomem line or a
#: memmap entry called "Unknown E820 type", log words that no kernel prints. It is
#: no number that any firmware or kernel uses, it is never memory, and where ranges
#: overlap it beats every real type, so that doubt never becomes RAM.
TYPE_WITHOUT_NUMBER = 0xFFFF_FFFE

# In /proc/iomem and memmap.
_UNKNOWN_RESOURCE_NAME = "Unknown E820 type"

KNOWN_TYPES = frozenset(
    {
        E820_TYPE_RAM,
        E820_TYPE_RESERVED,
        E820_TYPE_ACPI,
        E820_TYPE_NVS,
        E820_TYPE_UNUSABLE,
        E820_TYPE_PMEM,
        E820_TYPE_PRAM,
        E820_TYPE_RESERVED_KERN,
        E820_TYPE_SOFT_RESERVED,
    }
)
"""The types that kernels have names for."""

# print_memory_map() of 2.4, e820_print_map() to 3.4, e820_print_type() since
# (arch/x86/kernel/e820.c). A type that is missing is printed as "type N".
_OLDEST = {
    E820_TYPE_RAM: "(usable)",
    E820_TYPE_RESERVED: "(reserved)",
    E820_TYPE_ACPI: "(ACPI data)",
    E820_TYPE_NVS: "(ACPI NVS)",
}
_OLD = _OLDEST | {
    E820_TYPE_UNUSABLE: "(unusable)",
    E820_TYPE_RESERVED_KERN: "(usable)",
}
_CLASSIC = {kind: words.strip("()") for kind, words in _OLD.items()} | {
    E820_TYPE_PMEM: f"persistent (type {E820_TYPE_PMEM})",
    E820_TYPE_PRAM: f"persistent (type {E820_TYPE_PRAM})",
    E820_TYPE_SOFT_RESERVED: "soft reserved",
}
_MODERN = {
    E820_TYPE_RAM: "System RAM",
    E820_TYPE_RESERVED: "device reserved",
    E820_TYPE_ACPI: "ACPI data",
    E820_TYPE_NVS: "ACPI NVS",
    E820_TYPE_UNUSABLE: "unusable",
    E820_TYPE_PMEM: f"persistent RAM (type {E820_TYPE_PMEM})",
    E820_TYPE_PRAM: f"persistent RAM (type {E820_TYPE_PRAM})",
    E820_TYPE_SOFT_RESERVED: "soft reserved",
}
_LOG_WORDS = {"2.4": _OLDEST, "pre-3.5": _OLD, "3.5": _CLASSIC, "7.0": _MODERN}

_TYPE_OF_WORDS = {
    words.replace(" ", ""): kind
    for table in (_CLASSIC, _MODERN)
    for kind, words in table.items()
    if kind != E820_TYPE_RESERVED_KERN and "(" not in words
}
# Where a line was broken its blanks are gone, so that all of them may be missing.
_SPACED = {
    words.replace(" ", r"\s*")
    for words in (*_CLASSIC.values(), *_MODERN.values())
    if "(" not in words
}
_WORDS = re.compile(
    r"\(?\s*(?:(?:(?P<persistent>persistent)\s*(?P<ram>RAM)?\s*\(\s*)?"
    r"type\s*(?P<number>[0-9]{1,10})(?![0-9])"
    rf"|(?P<words>{'|'.join(sorted(_SPACED, key=len, reverse=True))})(?![a-z]))\)?"
)
_BEGUN = (*_TYPE_OF_WORDS, "type", "persistent(type", "persistentRAM(type")
_BEGUN_NUMBER = re.compile(r"\(?(?:persistent(?:RAM)?\()?type[0-9]{0,10}")
# Words that only one of the two dialects with inclusive ends has.
_ONLY_IN: dict[str, LogDialect] = {
    "usable": "3.5",
    "reserved": "3.5",
    "SystemRAM": "7.0",
    "devicereserved": "7.0",
}

# e820_type_to_string(), arch/x86/kernel/e820.c: /proc/iomem, /sys/firmware/memmap.
_RESOURCE_NAMES = {
    E820_TYPE_RAM: "System RAM",
    E820_TYPE_RESERVED: "Reserved",
    E820_TYPE_ACPI: "ACPI Tables",
    E820_TYPE_NVS: "ACPI Non-volatile Storage",
    E820_TYPE_UNUSABLE: "Unusable memory",
    E820_TYPE_PMEM: "Persistent Memory",
    E820_TYPE_PRAM: "Persistent Memory (legacy)",
    E820_TYPE_SOFT_RESERVED: "Soft Reserved",
}
_TYPE_OF_RESOURCE = {name: kind for kind, name in _RESOURCE_NAMES.items()} | {
    # The spelling up to 4.11, where unknown types are called so as well.
    "reserved": E820_TYPE_RESERVED,
    _UNKNOWN_RESOURCE_NAME: TYPE_WITHOUT_NUMBER,
}


RESOURCE_NAMES = tuple(_TYPE_OF_RESOURCE)
"""The names of e820 types in /proc/iomem and /sys/firmware/memmap."""


def log_words(kind: int, dialect: LogDialect) -> str:
    """Return what a kernel of ``dialect`` prints for the type number."""
    return _LOG_WORDS[dialect].get(kind, f"type {kind}")


class LogWords(NamedTuple):
    """The type whose words a text begins with.

    Attributes:
        kind: e820 type, None for words that no kernel prints.
        dialect: the one dialect that says so, None where several do.
        length: characters that say it; 0 where ``kind`` is None.
    """

    kind: int | None
    dialect: LogDialect | None
    length: int


_NO_WORDS = LogWords(None, None, 0)


def match_log_words(text: str) -> LogWords:
    """Return the type that ``text`` begins with, whatever follows it.

    Parentheses, as before 3.5, may be there or not, and so may the blanks between
    words. No kernel prints ``type 1`` to ``type 4``: these have words in all of them.
    """
    match = _WORDS.match(text)
    if match is None:
        return _NO_WORDS
    if match["number"] is None:
        words = "".join(match["words"].split())
        return LogWords(_TYPE_OF_WORDS[words], _ONLY_IN.get(words), match.end())
    kind = int(match["number"])
    if 0 < kind <= E820_TYPE_NVS or kind >= 1 << 32:
        return _NO_WORDS
    only: LogDialect | None = None
    if match["persistent"]:
        only = "7.0" if match["ram"] else "3.5"
    return LogWords(kind, only, match.end())


def are_words_begun(text: str) -> bool:
    """Return whether ``text``, without blanks, is the start of a type's words.

    A number at its end may go on.
    """
    bare = text.removeprefix("(")
    begun = any(words.startswith(bare) for words in _BEGUN)
    return begun or _BEGUN_NUMBER.fullmatch(text) is not None


def type_text(kind: int) -> str:
    """Return a type in words, for messages; of one without words the number in hex."""
    if kind == TYPE_WITHOUT_NUMBER:
        return f"an unknown type ({kind:#x})"
    if kind == E820_TYPE_RESERVED_KERN:
        return f"kernel's own RAM ({kind:#x})"
    return _CLASSIC.get(kind, f"type {kind:#x}")


def resource_name(kind: int) -> str:
    """Return the name of a type in /proc/iomem and /sys/firmware/memmap.

    The spelling is that of 4.14 and later. A type without a name of its own is
    ``Unknown E820 type``; RESERVED_KERN is memory under its usual name.
    """
    kind = E820_TYPE_RAM if kind == E820_TYPE_RESERVED_KERN else kind
    return _RESOURCE_NAMES.get(kind, _UNKNOWN_RESOURCE_NAME)


def type_of_resource(name: str) -> int | None:
    """Return the type of a resource name, None when it names no e820 type.

    ``Unknown E820 type`` gives ``TYPE_WITHOUT_NUMBER``.
    """
    return _TYPE_OF_RESOURCE.get(name)
