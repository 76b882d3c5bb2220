"""Everything in a handoff that a kernel reads at early boot, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_DTYPE
from e820pool.extents import ExtentSet, Span
from e820pool.table import E820Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.memory_devices import MemoryDevices

__all__ = ("BootInput", "EfiMemmap", "SetupDataSpan")


def _empty() -> NDArray[Any]:
    return np.empty(0, E820_DTYPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupDataSpan:
    """Say where one setup_data node lies: bytes, header included.

    Attributes:
        indirect: ``(addr, size, type)`` that a SETUP_INDIRECT node points to.
    """

    addr: int
    size: int
    type: int
    indirect: tuple[int, int, int] | None = None

    @property
    def span(self) -> Span:
        """The node's bytes."""
        return Span.at(self.addr, self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class EfiMemmap:
    """Hold an EFI memory map as KASLR reads it.

    Attributes:
        rows: ``(phys_addr, nr_pages, type, attribute)`` or None when its bytes
            are not part of the handoff.
    """

    rows: tuple[tuple[int, int, int, int], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BootInput:
    """Hold what the early boot code of a kernel looks at.

    Attributes:
        table: the zero page's e820 slots that e820_entries counts, as written;
            more than 128 only if the blob claims so.
        ext: the entries of each SETUP_E820_EXT node, in chain order.
        cmdline: the command line (latin-1), without its NUL; what follows the first
            2048 characters may be left out.
        alt_mem_k: zero page 0x1e0, KiB above 1 MiB.
        ext_mem_k: zero page 0x02, KiB above 1 MiB, u16.
        sentinel: zero page 0x1ef.
        protocol: hdr.version.
        kernel_range: bytes ``[start, end)`` of the running image, or None.
        load_window: ``[P, P + init_size)`` that the decompressor works in, or None.
        image_size: bytes of the unpacked kernel (the larger of the decompressor's
            output and the running image), 0 when not known.
        payload_start: where the compressed kernel lies while KASLR chooses: what is
            below it in the load window may be chosen. None when not known.
        setup_data: where the nodes of the chain lie, None when not known.
        initrd, cmdline_range, boot_params_range: bytes, what KASLR avoids.
        kho_scratch: the scratch areas that a SETUP_KEXEC_KHO node names; they lie
            outside of the handoff's own parts.
        kho_preserved: the pages that it wants to be kept.
        kho_compatible: the ABI in which it is written, "" when not known: then it is
            taken to be the kernel's.
        memory_devices: where memory can be added after boot, None for not known.
        efi: the EFI memory map when efi_info has a loader signature.
    """

    table: NDArray[Any] = field(default_factory=_empty)
    ext: tuple[NDArray[Any], ...] = ()
    cmdline: str = ""
    alt_mem_k: int = 0
    ext_mem_k: int = 0
    sentinel: int = 0
    protocol: int = 0x020F
    kernel_range: Span | None = None
    load_window: Span | None = None
    image_size: int = 0
    payload_start: int | None = None
    setup_data: tuple[SetupDataSpan, ...] | None = None
    initrd: Span | None = None
    cmdline_range: Span | None = None
    boot_params_range: Span | None = None
    kho_scratch: tuple[Span, ...] = ()
    kho_preserved: ExtentSet = field(default_factory=ExtentSet)
    kho_compatible: str = ""
    memory_devices: MemoryDevices | None = None
    efi: EfiMemmap | None = None

    def whole_table(self) -> E820Table:
        """Return the entries of the zero page and of every SETUP_E820_EXT node."""
        return E820Table.joined((self.table, *self.ext))
