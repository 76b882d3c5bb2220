"""This machine's own kernel as a KernelView: what it made of its handoff."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.errors import BadImageError, InputError
from e820pool.kernel.view import KernelView
from e820pool.sources.files import read_attribute, read_file
from e820pool.sources.iomem import read_iomem
from e820pool.sources.log_text import decode_text
from e820pool.sources.recognise import read_live

if TYPE_CHECKING:
    from e820pool.extents import ByteRangeSet

__all__ = ("read_live_view",)

_ROOT = Path("/")
_IOMEM = "proc/iomem"
_RELEASE = "proc/sys/kernel/osrelease"


def read_live_view(root: Path = _ROOT) -> KernelView:
    """Return the view of the kernel that runs here.

    Its table is what /sys/firmware/memmap shows (the table before mem= and memmap=);
    its memory is the System RAM of /proc/iomem, which needs root, else the RAM of
    the table. Which pages it touched is not known.

    Args:
        root: where /proc and /sys are; another folder is a copy of a machine's.

    Raises:
        InputError: this machine shows no map.
    """
    table = read_live(root)
    memory = _system_ram(root / _IOMEM) or table.bytes_of(E820_TYPE_RAM)
    return KernelView(
        kernel=_release(root),
        engine="machine",
        bios_map=tuple(table.rows()),
        table=tuple(table.rows()),
        firmware_map=tuple(table.rows()),
        memory=tuple(memory),
    )


def _release(root: Path) -> str:
    try:
        return read_attribute(root / _RELEASE)
    except (InputError, BadImageError):
        return os.uname().release


def _system_ram(iomem: Path) -> ByteRangeSet | None:
    # Not root: all addresses are zero, and the reader refuses the file.
    try:
        text = decode_text(read_file(iomem), str(iomem))
        return read_iomem(text, origin=str(iomem)).bytes_of(E820_TYPE_RAM)
    except (InputError, BadImageError):
        return None
