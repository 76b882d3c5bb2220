"""Everything in a handoff that a kernel reads at early boot, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    E820_TABLE_OFFSET,
    encode_boot_params,
)
from e820pool.abi.e820 import (
    E820_DTYPE,
    E820_ENTRY_BYTES,
    E820_MAX_ENTRIES_ZEROPAGE,
    parse_table,
)
from e820pool.abi.efi_map import parse_efi_map
from e820pool.abi.kho import parse_kho_payload
from e820pool.abi.setup_data import (
    NODE_HEADER_BYTES,
    SETUP_E820_EXT,
    SETUP_INDIRECT,
    SETUP_KEXEC_KHO,
    parse_indirect,
)
from e820pool.errors import BadImageError, MachineError
from e820pool.extents import ExtentSet, Span
from e820pool.kernel.cmdline import COMMAND_LINE_CHARS
from e820pool.kernel.kernel_table import is_swept
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from e820pool.abi.boot_params import BootParams
    from e820pool.abi.kho import KhoNode
    from e820pool.handoff.model import Handoff, PlacedNode
    from e820pool.memory_devices import MemoryDevices
    from e820pool.range_lists import Row

_T = TypeVar("_T")

__all__ = (
    "BootInput",
    "EfiMemmap",
    "SetupDataSpan",
    "boot_input",
)


_NO_PAGES = ExtentSet()
_NO_ENTRIES = np.empty(0, E820_DTYPE)


def _empty() -> NDArray[Any]:
    return _NO_ENTRIES


def _no_pages() -> ExtentSet:
    return _NO_PAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupDataSpan:
    """Where one setup_data node lies: bytes, header included.

    Attributes:
        indirect: ``(addr, size, type)`` that a SETUP_INDIRECT node points to.
    """

    addr: int
    size: int
    type: int
    indirect: Row | None = None

    @property
    def span(self) -> Span:
        """The node's bytes."""
        return Span.at(self.addr, self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class EfiMemmap:
    """An EFI memory map as KASLR reads it.

    Attributes:
        rows: ``(phys_addr, nr_pages, type, attribute)`` or None when its bytes
            are not part of the handoff.
    """

    rows: tuple[tuple[int, int, int, int], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BootInput:
    """What a kernel's early boot code looks at.

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
    kho_preserved: ExtentSet = field(default_factory=_no_pages)
    kho_compatible: str = ""
    memory_devices: MemoryDevices | None = None
    efi: EfiMemmap | None = None
    # Of these very entries, made when they are first asked for.
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def rows(self) -> list[Row]:
        """Return ``table`` as rows of plain integers, not to be changed."""
        return self._once("rows", self.table.tolist)

    def is_swept(self) -> bool:
        """Return whether no kernel's sweep changes the rows of ``table``."""
        return self._once("is_swept", lambda: is_swept(self.rows()))

    def ext_rows(self) -> list[list[Row]]:
        """Return each node of ``ext`` as rows, not to be changed."""
        return self._once("ext_rows", lambda: [rows.tolist() for rows in self.ext])

    def whole_table(self) -> E820Table:
        """Return the entries of the zero page and of every SETUP_E820_EXT node."""
        return self._once(
            "whole_table", lambda: E820Table.joined((self.table, *self.ext))
        )

    def in_load_window(self) -> BootInput:
        """Return the same for an image that is known to fill its load window."""
        return self._once("stays", lambda: replace(self, kernel_range=self.load_window))

    def _once(self, name: str, make: Callable[[], _T]) -> _T:
        if name not in self._made:
            self._made[name] = make()
        made: _T = self._made[name]
        return made


# boot_input(handoff): what of a handoff the early boot code looks at.

# "EL32" and "EL64" in efi_info.efi_loader_signature.
_EFI_SIGNATURES = (0x3233_4C45, 0x3436_4C45)


def boot_input(handoff: Handoff) -> BootInput:
    """Return what a kernel reads of the handoff, as written and unjudged.

    The range of the running image is not part of a handoff and stays None.
    """
    params = handoff.boot_params
    # One more than a kernel keeps, to tell that there is more.
    line = handoff.cmdline.partition(b"\0")[0][: COMMAND_LINE_CHARS + 1]
    end = handoff.cmdline_addr + min(len(line), COMMAND_LINE_CHARS) + 1
    addr = handoff.cmdline_addr
    page = handoff.boot_params_addr
    handover = _handover(handoff)
    signed = params.efi_info.efi_loader_signature in _EFI_SIGNATURES
    return BootInput(
        table=_claimed_table(params),
        ext=tuple(_entries(n) for n in handoff.nodes if n.node.type == SETUP_E820_EXT),
        cmdline=line.decode("latin-1"),
        alt_mem_k=params.alt_mem_k,
        ext_mem_k=params.ext_mem_k,
        sentinel=params.sentinel,
        protocol=params.hdr.version,
        load_window=handoff.kernel_window,
        setup_data=tuple(_span(node) for node in handoff.nodes),
        initrd=_initrd(params),
        cmdline_range=Span(addr, end) if addr else None,
        boot_params_range=Span.at(page, BOOT_PARAMS_BYTES),
        kho_scratch=handover.scratch if handover else (),
        kho_preserved=handover.preserved if handover else ExtentSet(),
        kho_compatible=handover.compatible if handover else "",
        memory_devices=handoff.memory_devices,
        efi=EfiMemmap(rows=_efi_rows(handoff)) if signed else None,
    )


# What kernels write names memory outside of the handoff: its areas are not known here.
def _handover(handoff: Handoff) -> KhoNode | None:
    for placed in handoff.nodes:
        if placed.node.type == SETUP_KEXEC_KHO:
            try:
                return parse_kho_payload(placed.addr, placed.node.data)
            except (BadImageError, MachineError):
                return None
    return None


# The map, where a node of the chain holds all of it.
def _efi_rows(handoff: Handoff) -> tuple[tuple[int, int, int, int], ...] | None:
    info = handoff.boot_params.efi_info
    size = info.efi_memmap_size
    for placed in handoff.nodes:
        at = info.memmap_addr - placed.addr - NODE_HEADER_BYTES
        data = placed.node.data
        if info.efi_memdesc_size and 0 <= at <= at + size <= len(data):
            try:
                rows = parse_efi_map(data[at : at + size], info.efi_memdesc_size)
            except BadImageError:
                return None
            columns = ("phys_addr", "num_pages", "type", "attribute")
            return tuple(zip(*(rows[name].tolist() for name in columns), strict=True))
    return None


# A count beyond 128 makes a kernel read on, into what follows in the page; what
# lies behind the page is not part of a handoff.
def _claimed_table(params: BootParams) -> NDArray[Any]:
    if params.e820_entries <= E820_MAX_ENTRIES_ZEROPAGE:
        return params.e820_map
    page = encode_boot_params(params)
    room = (BOOT_PARAMS_BYTES - E820_TABLE_OFFSET) // E820_ENTRY_BYTES
    count = min(params.e820_entries, room)
    return parse_table(
        page[E820_TABLE_OFFSET : E820_TABLE_OFFSET + count * E820_ENTRY_BYTES]
    )


# Bytes behind the last whole entry are ignored.
def _entries(placed: PlacedNode) -> NDArray[Any]:
    data = placed.node.data
    return parse_table(data[: len(data) - len(data) % E820_ENTRY_BYTES])


def _span(placed: PlacedNode) -> SetupDataSpan:
    return SetupDataSpan(
        addr=placed.addr,
        size=placed.end - placed.addr,
        type=placed.node.type,
        indirect=_target(placed),
    )


def _target(placed: PlacedNode) -> Row | None:
    if placed.node.type != SETUP_INDIRECT:
        return None
    try:
        target = parse_indirect(placed.node.data)
    except BadImageError:
        # A kernel reads on into whatever follows; that is not in the handoff.
        return None
    return target.addr, target.len, target.type


def _initrd(params: BootParams) -> Span | None:
    start = params.ext_ramdisk_image << 32 | params.hdr.ramdisk_image
    size = params.ext_ramdisk_size << 32 | params.hdr.ramdisk_size
    return Span.at(start, size) if size else None
