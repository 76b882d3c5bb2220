"""A map as a C array of the kernel's own struct."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from e820pool.errors import InputError
from e820pool.findings import counted
from e820pool.type_words import log_words

if TYPE_CHECKING:
    from e820pool.memory_map import MemoryMap

__all__ = ("c_source",)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def c_source(memory_map: MemoryMap, name: str = "e820_map") -> str:
    """Return C that defines ``name[]`` and ``name_entries``.

    It compiles against <asm/bootparam.h> of the kernel's user-space headers.

    Raises:
        InputError: the map is empty, or ``name`` is no C identifier.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name[:80]!r} is no C identifier of at most 63 characters")
    if not len(memory_map):
        raise InputError("a map of 0 entries has no C array: it needs at least 1")
    rows = "".join(_row(addr, size, kind) for addr, size, kind in memory_map.rows())
    return (
        f"/* {_comment(memory_map.origin) or 'memory map'}: "
        f"{counted(len(memory_map), 'entry')}; "
        "addr and size in bytes. */\n"
        "#include <asm/bootparam.h>\n\n"
        f"const struct boot_e820_entry {name}[] = {{\n{rows}}};\n\n"
        f"const unsigned int {name}_entries = sizeof({name}) / sizeof({name}[0]);\n"
    )


def _row(addr: int, size: int, kind: int) -> str:
    return (
        f"\t{{ .addr = 0x{addr:016x}ULL, .size = 0x{size:016x}ULL, "
        f".type = 0x{kind:x}U }}, /* {log_words(kind, '3.5')} */\n"
    )


def _comment(text: str) -> str:
    # Nothing that a file's name may hold ends the comment or the line.
    return re.sub(r"[^\x20-\x7e]|\*/|\\|\?\?", "?", text)
