"""A map written as a tree shaped as /sys/firmware/memmap, which kexec-tools read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.loading.kexec_loaders import memmap_files
from e820pool.report.files import write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from e820pool.memory_map import MemoryMap

__all__ = ("write_memmap_tree",)


def write_memmap_tree(memory_map: MemoryMap, path: str | Path) -> None:
    """Write the tree; InputError if anything is there or it cannot be written."""
    write_tree(path, memmap_files(memory_map.rows()))
