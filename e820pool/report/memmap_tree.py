"""Say a map as a tree shaped as /sys/firmware/memmap, which kexec-tools reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from e820pool.report.files import write_tree
from e820pool.type_words import resource_name

if TYPE_CHECKING:
    from pathlib import Path

    from e820pool.memory_map import MemoryMap

__all__ = ("memmap_files", "write_memmap_tree")

_WRAP = 1 << 64

# Every file of such a tree.
_OURS = re.compile(r"\d+/(start|end|type)")


def memmap_files(memory_map: MemoryMap) -> dict[str, bytes]:
    """Return ``N/start``, ``N/end`` (inclusive) and ``N/type`` of every entry.

    The form is that of drivers/firmware/memmap.c (2.6.27 to 7.3). It has no number
    for a type without a name of its own.
    """
    files = {}
    for at, (addr, size, kind) in enumerate(memory_map.rows()):
        files[f"{at}/start"] = f"{addr:#x}\n".encode()
        files[f"{at}/end"] = f"{(addr + size - 1) % _WRAP:#x}\n".encode()
        files[f"{at}/type"] = f"{resource_name(kind)}\n".encode()
    return files


def write_memmap_tree(memory_map: MemoryMap, path: str | Path) -> None:
    """Write the tree; InputError if another thing is there or it cannot be written."""
    write_tree(path, memmap_files(memory_map), ours=_OURS)
