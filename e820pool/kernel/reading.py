"""boot_input(handoff): what of a handoff the early boot code looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    E820_TABLE_OFFSET,
    encode_boot_params,
)
from e820pool.abi.e820 import (
    E820_ENTRY_BYTES,
    E820_MAX_ENTRIES_ZEROPAGE,
    parse_table,
)
from e820pool.abi.kho import parse_kho_payload
from e820pool.abi.setup_data import (
    SETUP_E820_EXT,
    SETUP_INDIRECT,
    SETUP_KEXEC_KHO,
    parse_indirect,
)
from e820pool.errors import BadImageError, MachineError
from e820pool.extents import ExtentSet, Span
from e820pool.kernel.boot_input import BootInput, EfiMemmap, SetupDataSpan
from e820pool.kernel.cmdline import COMMAND_LINE_CHARS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from e820pool.abi.boot_params import BootParams
    from e820pool.abi.kho import KhoNode
    from e820pool.handoff.model import Handoff, PlacedNode

__all__ = ("boot_input",)

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
        ext_mem_k=params.screen_info.ext_mem_k,
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
        efi=EfiMemmap() if signed else None,
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


def _target(placed: PlacedNode) -> tuple[int, int, int] | None:
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
