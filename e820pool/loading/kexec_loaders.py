"""Stock kexec loaders: where kexec is, the tree it reads, the table it hands on."""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    table_of,
)
from e820pool.errors import MachineError
from e820pool.kernel.boot_input import BootInput
from e820pool.type_words import resource_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.kernel.view import KernelView
    from e820pool.range_lists import Row

__all__ = (
    "HandedOver",
    "by_kexec_file",
    "by_kexec_tools",
    "find_kexec",
    "memmap_archive",
    "memmap_files",
)

# kexec-tools 2.0.25 kexec/arch/i386/kexec-x86-common.c: what it has a number for;
# everything else it writes as RESERVED.
_KNOWN_TO_TOOLS = {
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
}
# The real-mode interrupt table is not reported as RAM.
_INTERRUPT_TABLE_BYTES = 0x400
# kexec-tools have room for so many: MAX_MEMORY_RANGES of their kexec-x86.h.
_TOOLS_LIMIT = 2048

# kexec is not in every user's search path.
_PLACES = ("/usr/sbin/kexec", "/sbin/kexec")


def find_kexec() -> Path:
    """Return the path of kexec.

    Raises:
        MachineError: it is not installed; says which package has it.
    """
    for place in (shutil.which("kexec"), *_PLACES):
        if place is not None and Path(place).is_file():
            return Path(place)
    raise MachineError("kexec is not installed: install kexec-tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """The table that a loader writes.

    Attributes:
        table: what is in the zero page, in its order.
        ext: what is in a SETUP_E820_EXT node behind it.
        lost: rows that the loader left out.
    """

    table: tuple[Row, ...]
    ext: tuple[Row, ...] = ()
    lost: tuple[Row, ...] = ()

    def boot_input(self, cmdline: str = "") -> BootInput:
        """Return what the next kernel's early boot reads."""
        ext = (table_of(self.ext),) if self.ext else ()
        return BootInput(table=table_of(self.table), ext=ext, cmdline=cmdline)


def by_kexec_file(running: KernelView) -> HandedOver | None:
    """Return what kexec_file_load(2) hands over; None where that is not known.

    The first 128 entries of the kernel's own table as it was booted with, and nothing
    behind them; no node that it does not make itself, so that a record stays behind.
    Linux 4.4 to 7.3 arch/x86/kernel/kexec-bzimage64.c setup_e820_entries().
    """
    if running.kexec_map is None:
        return None
    rows = running.kexec_map
    limit = E820_MAX_ENTRIES_ZEROPAGE
    return HandedOver(table=rows[:limit], lost=rows[limit:])


def by_kexec_tools(
    tree: Iterable[Row], nameless: frozenset[int] = frozenset()
) -> HandedOver:
    """Return what stock kexec-tools hand over by kexec_load(2), given a memmap tree.

    Entries are sorted; a type that they have no word for becomes RESERVED; 128 go into
    the zero page, the others into SETUP_E820_EXT (kexec-tools 2.0.25
    kexec/arch/i386/x86-linux-setup.c setup_e820(), setup_e820_ext()).

    Args:
        tree: the rows, in any order.
        nameless: types for which the kernel that shows the tree has no name though
            others have: 128 from 6.16 on.
    """
    rows = sorted(_as_read(tree, nameless), key=lambda row: row[0])
    rows, lost = rows[:_TOOLS_LIMIT], rows[_TOOLS_LIMIT:]
    rows = _without_interrupt_table(rows)
    limit = E820_MAX_ENTRIES_ZEROPAGE
    return HandedOver(
        table=tuple(rows[:limit]), ext=tuple(rows[limit:]), lost=tuple(lost)
    )


def _as_read(tree: Iterable[Row], nameless: frozenset[int]) -> Iterable[Row]:
    for addr, size, kind in tree:
        if kind in nameless:
            yield addr, size, E820_TYPE_RESERVED
        elif resource_name(kind) == resource_name(E820_TYPE_RAM):
            yield addr, size, E820_TYPE_RAM
        else:
            yield addr, size, kind if kind in _KNOWN_TO_TOOLS else E820_TYPE_RESERVED


def _without_interrupt_table(rows: list[Row]) -> list[Row]:
    for at, (addr, size, kind) in enumerate(rows):
        if kind == E820_TYPE_RAM and addr < _INTERRUPT_TABLE_BYTES:
            # The start moves and the end stays, even where it lies before: the tools
            # count in unsigned numbers of 64 bits.
            left = (addr + size - _INTERRUPT_TABLE_BYTES) % (1 << 64)
            return [*rows[:at], (_INTERRUPT_TABLE_BYTES, left, kind), *rows[at + 1 :]]
    return rows


def memmap_files(rows: Iterable[Row]) -> dict[str, bytes]:
    """Return ``N/start``, ``N/end`` (inclusive) and ``N/type`` of every entry.

    The form is that of drivers/firmware/memmap.c (2.6.27 to 7.3). It has no number
    for a type without a name of its own.
    """
    files = {}
    for at, (addr, size, kind) in enumerate(rows):
        files[f"{at}/start"] = f"{addr:#x}\n".encode()
        files[f"{at}/end"] = f"{(addr + size - 1) % (1 << 64):#x}\n".encode()
        files[f"{at}/type"] = f"{resource_name(kind)}\n".encode()
    return files


def memmap_archive(rows: Iterable[Row]) -> bytes:
    """Return the tree as a tar archive, which busybox tar unpacks in a guest."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in memmap_files(rows).items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return out.getvalue()
